// The planes in which a scan is seen; apart from what draws them, which is large and comes later.

/** What is seen, and the axis across which it is scrolled. */
export const PLANES = /** @type {const} */ ({ axial: 2, coronal: 1, sagittal: 0 });
/** @typedef {keyof typeof PLANES} Plane */
