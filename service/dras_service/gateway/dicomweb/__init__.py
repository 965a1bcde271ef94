"""DICOMweb as a server: studies in (STOW-RS), results out (QIDO-RS, WADO-RS), runs asked for and watched (UPS-RS).

Data sets are written by hand in both forms of the standard, as the gateway loads no DICOM library; the few values
that are needed of a file are read by `dras_service.header`.
"""
