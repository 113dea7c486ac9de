// Brings one image to /jobs, waits until it is made, and shows it before and after.
"use strict";

const LOOK_MS = 400;
const $ = (id) => document.getElementById(id);
let job = null;
let turn = 0; // of an upload; what belongs to an earlier one is not shown any more

class Refused extends Error {}

async function ask(path, options = {}) {
  const answer = await fetch(path, {...options, headers: {Authorization: `Bearer ${$("token").value.trim()}`}});
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  throw new Refused(typeof body.detail === "string" ? body.detail : `the service answers ${answer.status}`);
}

function say(text, bad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", bad);
}

function progress(done, of) {
  $("progress").hidden = done === null;
  if (of) { $("progress").max = of; $("progress").value = done; } else $("progress").removeAttribute("value");
}

async function bring(file) {
  const mine = ++turn;
  $("result").hidden = true;
  say(`Bringing ${file.name} …`);
  progress(0, 0);
  try {
    let view = await (await ask("jobs", {method: "POST", body: file})).json();
    while (mine === turn && !["ready", "failed"].includes(view.state)) {
      say(view.state === "working" ? "Sharpening …" : "Waiting for its turn …");
      progress(view.frames_done ?? 0, view.frames ?? 0);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      view = await (await ask(`jobs/${view.id}`)).json();
    }
    if (mine !== turn) return;
    if (view.state === "failed") throw new Refused(view.reason);
    await show(view);
    say("Done.");
  } catch (error) {
    if (mine === turn) say(error instanceof Refused ? `Not sharpened: ${error.message}` : "The service does not answer.", true);
  }
  if (mine === turn) progress(null);
}

async function show(view) {
  job = view;
  $("made").textContent =
    `${view.columns} × ${view.rows} pixels, by ${view.model} version ${view.version} in ${view.seconds.toFixed(1)} s`;
  $("frames").hidden = view.frames === 1;
  $("frame").max = view.frames;
  $("frame").value = 1;
  await picture();
  cut(50);
  $("result").hidden = false;
}

async function picture() {
  const frame = Math.min(Math.max(1, Number($("frame").value) || 1), job.frames);
  for (const [id, sharpened] of [["after", true], ["before", false]]) {
    const answer = await ask(`jobs/${job.id}/picture?sharpened=${sharpened}&frame=${frame}`);
    URL.revokeObjectURL($(id).src);
    $(id).src = URL.createObjectURL(await answer.blob());
    await $(id).decode();
  }
}

function cut(percent) {
  $("slider").value = percent;
  $("stage").style.setProperty("--cut", `${percent}%`);
}

function follow(event) {
  if (event.type === "pointermove" && !event.buttons) return;
  const {left, width} = $("stage").getBoundingClientRect();
  cut(Math.min(100, Math.max(0, (100 * (event.clientX - left)) / width)));
}

async function download() {
  const answer = await ask(`jobs/${job.id}/image`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition"))[1];
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

async function remove() {
  await ask(`jobs/${job.id}`, {method: "DELETE"});
  $("result").hidden = true;
  say("Removed.");
}

function begin(file) {
  $("file").value = ""; // so that the same one can be chosen again
  if (!file || !$("token").reportValidity()) return;
  sessionStorage.setItem("token", $("token").value);
  bring(file);
}

const reportingErrors = (work) => () => work().catch((error) => say(error.message, true));
$("token").value = sessionStorage.getItem("token") ?? "";
$("form").addEventListener("submit", (event) => event.preventDefault());
$("file").addEventListener("change", () => begin($("file").files[0]));
$("download").addEventListener("click", reportingErrors(download));
$("remove").addEventListener("click", reportingErrors(remove));
$("frame").addEventListener("change", reportingErrors(picture));
$("slider").addEventListener("input", () => cut($("slider").value));
for (const type of ["pointerdown", "pointermove"]) $("stage").addEventListener(type, follow);
for (const type of ["dragover", "dragleave", "drop"]) {
  $("drop").addEventListener(type, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", type === "dragover");
    if (type === "drop") begin(event.dataTransfer.files[0]);
  });
}
