"""A result as DICOM objects: Structured Report, Segmentation and Parametric Map of its source series."""
