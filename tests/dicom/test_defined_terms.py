import pytest

from components.dicom.defined_terms import TERMS, known_meaning, known_value


@pytest.mark.parametrize(
    "keyword, value",
    [
        ("BodyPartExamined", "HEAD"),
        ("BodyPartExamined", "Whole Body"),
        ("BodyPartExamined", "L-SPINE"),
        ("Modality", "CT"),
        ("SpecificCharacterSet", "ISO 2022 IR 87"),
        ("ImageType", "0011"),
        ("ImageType", "CSA MPR"),
        ("ScanOptions", "HELICAL MODE"),
        ("PatientPosition", "HFS"),
        ("PixelPresentation", "MONOCHROME"),
        ("LossyImageCompression", "01"),
        ("ImageType", ""),
    ],
)
def test_terms_of_the_standard_are_known(keyword: str, value: str) -> None:
    assert known_value(keyword, value)


@pytest.mark.parametrize(
    "keyword, value",
    [
        ("BodyPartExamined", "MUSTERMANN"),
        ("BodyPartExamined", "CT"),
        ("Modality", "HEAD"),
        ("ImageType", "DOE KNEE"),
        ("ImageType", "4711"),
        ("ScanOptions", "JANE"),
        ("SomethingNew", "MEIER"),
    ],
)
def test_what_is_no_term_of_the_attribute_is_not(keyword: str, value: str) -> None:
    assert not known_value(keyword, value)


def test_meanings_of_standard_codes_are_known() -> None:
    assert known_meaning("Head") and known_meaning(" computed tomography")
    assert not known_meaning("Mustermann")


def test_every_term_fits_a_coded_attribute_and_no_list_is_empty() -> None:
    for keyword, listed in TERMS.items():
        terms = [term.replace("*", " ") for term in listed.replace(";", " ").split()]
        assert terms, keyword
        assert [term for term in terms if len(term) > 16 and keyword != "SpecificCharacterSet"] == []
        assert [term for term in terms if term != term.upper()] == []
