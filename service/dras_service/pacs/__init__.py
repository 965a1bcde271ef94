"""The DICOM node: studies come in from other systems or are fetched there, results go back.

Everything that speaks DIMSE lives here, in processes of its own. What speaks DICOMweb to clients is the gateway's.
"""
