// How the scan was made, how well the run went, and with what.

import { el, replace } from "../dom.js";
import { NONE, number } from "../wording.js";

/** @import { Context } from "./job_view.js" */

/**
 * @param {HTMLElement} body
 * @param {Context} context
 */
export function fill(body, { result, job }) {
  const { acquisition: made, geometry, qc, provenance, timings } = result;
  const [x, y, z] = geometry.size_xyz;
  const [dx, dy, dz] = geometry.spacing_xyz_mm;
  replace(
    body,
    el(
      "div",
      { class: "columns" },
      facts("Scan", [
        ["Scanner", [made.manufacturer, made.model].filter(Boolean).join(" ") || NONE],
        ["Kernel", made.kernel ?? NONE],
        ["Tube voltage", made.kvp === null ? NONE : `${made.kvp} kV`],
        ["Slices", `${z} of ${x} × ${y}`],
        ["Voxel", `${number(dx, 2)} × ${number(dy, 2)} × ${number(dz, 2)} mm`],
        ["Breath, as told", made.phase_stated ?? NONE],
      ]),
      facts("Quality", [
        ["Valid patches", `${qc.patches.n_valid} of ${qc.patches.n_patches}`],
        ["Overlap with the atlas, right", number(qc.registration.dice_right, 3)],
        ["Overlap with the atlas, left", number(qc.registration.dice_left, 3)],
        ["Rotation to the atlas", `${number(qc.registration.rotation_degrees, 1)}°`],
        ["Atlas inside the scan", `${number(100 * qc.registration.coverage, 1)} %`],
      ]),
      facts("Run", [
        ["dras", provenance.dras_version],
        ["Weights", `${provenance.weights.name} (${provenance.weights.training})`],
        ["Atlas", provenance.weights.atlas],
        ["Device", provenance.device],
        ["Computed in", `${number(timings.total, 1)} s`],
        ["Job", job.id],
      ]),
    ),
  );
}

/**
 * @param {string} title
 * @param {[string, string | number | boolean][]} pairs
 */
function facts(title, pairs) {
  return el("section", { class: "facts" }, el("h3", {}, title), el("dl", {}, ...pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value))))));
}
