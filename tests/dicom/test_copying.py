from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread, uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset

from components.dicom.copying import copy_header
from components.dicom.write import derive, save
from tests.drawing import dicom, write_dicom

PIXELS = np.zeros((4, 4), np.uint16)
NAME, NUMBER = 0x00100010, 0x00100020


def image_with(charset: list[str], name: bytes, text: bytes) -> FileDataset:
    """An image whose text is these very bytes, in a sequence too: pydicom writes bytes as they are."""
    image = dicom(PIXELS, OtherPatientIDsSequence=[Dataset()], SpecificCharacterSet=charset)
    for item in (image, image.OtherPatientIDsSequence[0]):
        item.PatientName, item.PatientID = name, text
    return image


def bytes_of(image: Dataset, tag: int) -> bytes:
    found = image.get_item(tag)
    assert isinstance(found, RawDataElement) and found.value
    return found.value.rstrip(b" ")


def derived(tmp_path: Path, image: FileDataset) -> tuple[Dataset, Dataset]:
    """The source as it is read, and what was made of it as it is read again."""
    write_dicom(tmp_path / "in.dcm", image)
    made = derive(dcmread(tmp_path / "in.dcm"), PIXELS.repeat(2, 0).repeat(2, 1), 2, "sr-generator", "3")
    save(made, tmp_path / "out.dcm")
    return dcmread(tmp_path / "in.dcm"), dcmread(tmp_path / "out.dcm")


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize(
    ("charset", "name", "text"),
    [
        ("", b"Doe^Jane", b"MRN-1"),
        ("", "Müller^Jörg".encode("latin-1"), "Ä-1".encode("latin-1")),  # declares nothing
        ("", "Müller^Jörg".encode(), "Ä-1".encode()),
        ("ISO_IR 100", "Müller^Jörg".encode("latin-1"), "Ä-1".encode("latin-1")),
        ("ISO_IR 100", "Müller^Jörg".encode(), "Ä-1".encode()),  # wrong, and cannot be known to be
        ("ISO_IR 192", "Müller^Jörg=山田^太郎".encode(), "患者-1".encode()),
        ("ISO_IR 192", "Müller^Jörg".encode("latin-1"), "Ä-1".encode("latin-1")),  # wrong
        ("ISO_IR 192", b"Yamada=\xff\xfe^\x80", b"\xc3"),
        ("ISO_IR 101", "Černý^Jiří".encode("iso8859-2"), "Č".encode("iso8859-2")),
        ("ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", b"\xd4-1"),
        (
            "\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            b"\x1b$B;3ED\x1b(B",
        ),
        ("\\ISO 2022 IR 87", b"Yamada=\x1b$B;3\xff\x1b(B^\x1b$", b"\x1b$B;"),  # broken off
        ("\\ISO 2022 IR 87", "Müller".encode("latin-1"), "Ä".encode("latin-1")),
        ("GB18030", "Wang^XiaoDong=王^小东".encode("gb18030"), "王-1".encode("gb18030")),
        ("GB18030", b"Wang=\xff\xff^\x81", b"\x81\x20\xff"),
        ("GB18030", "誠^誠".encode("gb18030"), "誠\\1".encode("gb18030")),  # its second byte may be a backslash
        ("GBK", "王^小东".encode("gbk"), "王".encode("gbk")),
        ("ISO_IR 999", "Müller".encode("latin-1"), b"\xe4\xf6"),  # there is none such
        ("ISO_IR 192\\ISO 2022 IR 87", b"M\xfcller", b"\xfc"),  # may not be combined
        ("\\ISO 2022 IR 149", b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", b"\x1b$)C\xfb"),
    ],
)
def test_the_patients_name_and_number_are_the_same_bytes(
    tmp_path: Path, charset: str, name: bytes, text: bytes
) -> None:
    source, image = derived(tmp_path, image_with(charset.split("\\"), name, text))
    for item in (source, image, source.OtherPatientIDsSequence[0], image.OtherPatientIDsSequence[0]):
        assert bytes_of(item, NAME) == name and bytes_of(item, NUMBER) == text
    assert image.get("SpecificCharacterSet") == source.get("SpecificCharacterSet")
    assert image.PatientName == source.PatientName and image.PatientID == source.PatientID


def test_private_and_other_elements_come_along_and_pixels_do_not() -> None:
    source = dicom(PIXELS, InstitutionName="St. Elsewhere")
    source.private_block(0x0011, "SOMEBODY", create=True).add_new(1, "LO", "kept")
    image = copy_header(source)
    assert image[0x00111001].value == "kept" and image.InstitutionName == "St. Elsewhere"
    assert "PixelData" not in image and "PixelData" in source
    assert image.file_meta.get("TransferSyntaxUID") != uid.ExplicitVRBigEndian


@pytest.mark.parametrize("filling", [bytes(512), b"\xfe\xff\xdd\xe0\0\0\0\0"])
def test_what_fills_up_the_file_is_not_carried(tmp_path: Path, filling: bytes) -> None:
    path = write_dicom(tmp_path / "in.dcm", dicom(PIXELS))
    path.write_bytes(path.read_bytes() + filling)
    made = derive(dcmread(path), PIXELS.repeat(2, 0).repeat(2, 1), 2, "sr-generator", "3")
    save(made, tmp_path / "out.dcm")
    assert dcmread(tmp_path / "out.dcm").PatientName == "Doe^Jane"
