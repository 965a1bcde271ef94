// The documents of the HTTP interface, as far as the page reads them; docs/schema and /openapi.json are the reference.

/** @typedef {{ bundles: { name: string, is_default?: boolean }[] }} Bundles */

/**
 * @typedef {object} JobView
 * @property {string} id
 * @property {string} state
 * @property {string | null} stage
 * @property {number} progress
 * @property {string} created_at
 * @property {string} updated_at
 * @property {string | null} code
 * @property {string | null} message
 * @property {boolean} cancel_requested
 * @property {{ job: string, result: string, artifacts: string, events: string }} links
 */
/** @typedef {{ jobs: JobView[], cursor: string | null }} JobList */
/** @typedef {{ job_id: string, at: string, state: string, stage: string | null, progress: number, code: string | null }} JobEvent */
/** @typedef {{ name: string, media_type: string, size_bytes: number, link: string }} ArtifactView */
/** @typedef {{ artifacts: ArtifactView[] }} ArtifactList */

/** @typedef {{ code: string, severity: "warning" | "severe", message: string }} StudyWarning */
/**
 * @typedef {object} Score
 * @property {string} code
 * @property {number | null} value
 * @property {string} unit
 * @property {string} region
 * @property {"raw" | "harmonised"} image
 * @property {string} definition
 * @property {string} reference
 * @property {string[]} warnings
 * @property {string | null} reason
 * @property {string} phase
 */
/** @typedef {Record<string, string | number | boolean | null>} Acquisition */
/** @typedef {{ size_xyz: number[], spacing_xyz_mm: number[] }} Geometry */
/**
 * @typedef {object} StudyResult
 * @property {string} status
 * @property {string} series_instance_uid
 * @property {Acquisition} acquisition
 * @property {Geometry} geometry
 * @property {Score[]} scores
 * @property {Record<string, string>} regions
 * @property {StudyWarning[]} warnings
 * @property {{ patches: { n_patches: number, n_valid: number }, registration: Record<string, number> & { matrix: number[][] }, lungs: Record<string, number> }} qc
 * @property {Record<string, number>} timings
 * @property {{ dras_version: string, device: string, weights: { name: string, training: string, atlas: string, atlas_sha256: string } }} provenance
 */

/** @typedef {{ series_instance_uid: string, modality: string, n_images: number, chosen: boolean, reason: string }} Candidate */
/**
 * @typedef {object} Inspection
 * @property {string} series_instance_uid
 * @property {Candidate[]} candidates
 * @property {Acquisition} acquisition
 * @property {Geometry} geometry
 * @property {StudyWarning[]} warnings
 */
/**
 * @typedef {object} Validation
 * @property {boolean} usable
 * @property {number} n_files
 * @property {{ code: string, message: string } | null} refusal
 * @property {Inspection | null} inspection
 */

/** @typedef {{ name: string, file: Blob }} PickedFile */
/** What was picked: many files, or one that may be an archive.
 * @typedef {{ label: string, files: PickedFile[], bytes: number }} Picked */

/**
 * An upload as the page sees it; `sent` and `total` are bytes.
 * @typedef {object} Upload
 * @property {string} id
 * @property {string} label
 * @property {"sending" | "sent" | "failed" | "cancelled"} state
 * @property {number} sent
 * @property {number} total
 * @property {number} seconds since it began
 * @property {string | null} fault
 * @property {JobView | null} job
 */

export {};
