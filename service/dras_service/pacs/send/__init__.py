"""Results on their way back: the DICOM objects of a job, to the systems that its route names."""
