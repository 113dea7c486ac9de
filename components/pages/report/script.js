for (const card of document.querySelectorAll(".compare")) {
  const range = card.querySelector("input"), choice = card.querySelector("select"), stages = card.querySelectorAll(".stage");
  const cut = () => {
    for (const stage of stages) stage.style.setProperty("--cut", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % Bicubic, the rest ${choice.selectedOptions[0].dataset.name}`);
  };
  const choose = () => {
    for (const layer of card.querySelectorAll(".over")) layer.hidden = layer.dataset.method !== choice.value;
    for (const side of card.querySelectorAll(".side.right")) side.textContent = choice.selectedOptions[0].dataset.name;
    cut();
  };
  for (const stage of stages) {
    const follow = (event) => {
      const place = stage.getBoundingClientRect();
      range.value = (100 * (event.clientX - place.left)) / place.width;
      cut();
    };
    stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); follow(event); });
    stage.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
  }
  range.addEventListener("input", cut);
  choice.addEventListener("change", choose);
  choose();
}
addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details")) one.open = true; });
