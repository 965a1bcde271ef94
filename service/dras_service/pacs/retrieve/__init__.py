"""Finding studies in another system and fetching them from it, by DICOMweb or DIMSE.

`archive.open_archive` gives an `Archive` for a peer of the configuration: `find_studies` to search, `fetch_study`
to fetch. Both may be called again after any failure: a fetch goes on from the images that it has.
"""
