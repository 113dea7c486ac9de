import pytest

from components.dicom.person_names import compared, words


@pytest.mark.parametrize(
    "spelling",
    ["Doe^Jane", "Doe^Jane^^", "DOE^JANE=王^小東", "doe^jane ", "Doe ^ Jane^^^\0", "Doe^Jane=", "Ｄｏｅ^Jane"],
)
def test_spellings_of_one_name_are_one_name(spelling: str) -> None:
    assert compared(spelling) == compared("Doe^Jane")


@pytest.mark.parametrize("other", ["Doe^Janet", "DoeJane", "^Doe^Jane", "Doe^^Jane", "Jane^Doe", "", "=Doe^Janet"])
def test_other_names_are_other_names(other: str) -> None:
    assert compared(other) != compared("Doe^Jane")


def test_where_there_is_no_alphabetic_group_the_ideographic_one_is_compared() -> None:
    assert compared("=王^小東") == compared("=王^小東^^=わん") != compared("=王^小明")


def test_composed_and_decomposed_letters_are_one() -> None:
    assert compared("Mu\u0308ller^Jo\u0308rg") == compared("M\u00dcLLER^J\u00f6rg")


@pytest.mark.parametrize("name", ["", " ", "^^^", "=", " ^=^ "])
def test_separators_alone_are_no_name(name: str) -> None:
    assert compared(name) == ""


def test_words_of_a_name_are_folded_and_initials_left_out() -> None:
    assert words("M\u00dcLLER^J\u00f6rg^K==\u5c0f\u6771 Li 12") == {"m\u00fcller", "j\u00f6rg", "\u5c0f\u6771"}


def test_utf_8_that_was_read_as_latin_1_is_what_it_stands_for() -> None:
    assert compared("M\u00fcller^J\u00f6rg".encode().decode("latin-1")) == compared("M\u00fcller^J\u00f6rg")
