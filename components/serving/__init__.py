"""Enhancement where images live: what comes by DICOM is sharpened by the champion and sent on."""
