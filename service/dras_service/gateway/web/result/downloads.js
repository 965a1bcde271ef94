// The files of a result. They are asked for with the key, which a link cannot carry.

import { el, replace } from "../dom.js";
import { guarded } from "../panel.js";
import { size } from "../wording.js";

/** @import { Context } from "./job_view.js" */
/** @import { ArtifactView } from "../types.js" */

/** @type {Record<string, string>} */
const ABOUT = {
  "result.json": "everything, with definitions",
  "report.pdf": "one page for people",
  "report.html": "the same, for a browser",
  "regions.csv": "scores by region",
  "regions.parquet": "scores by region, typed",
  "patches.csv": "scores by patch",
  "patches.parquet": "scores and embeddings by patch, typed",
  "features.npz": "arrays by patch, for NumPy",
  "feature_map.nii.gz": "embeddings by place",
  "lungs.nii.gz": "lungs, on the scan's own grid",
  "laa_map.nii.gz": "low attenuation, on the scan's own grid",
  "qc.png": "picture for a check",
  "view.nii.gz": "small copy of the scan",
};
const FIRST = Object.keys(ABOUT);

/**
 * @param {HTMLElement} body
 * @param {Context} context
 */
export async function fill(body, { api, job, signal }) {
  const { artifacts } = await api.artifacts(job);
  signal.throwIfAborted();
  const ranked = [...artifacts].sort((a, b) => rank(a) - rank(b));
  const told = el("div", { role: "status" });
  const save = (/** @type {string} */ name) => guarded(told, async () => {
    const answer = await api.file(job, name, signal);
    const link = el("a", { href: URL.createObjectURL(await answer.blob()), download: name });
    link.click();
    URL.revokeObjectURL(link.href);
  });
  replace(body, el("ul", { class: "files" }, ...ranked.map((file) =>
    el("li", {}, el("button", { type: "button", class: "link", onclick: () => save(file.name) }, file.name), el("span", { class: "hint" }, ABOUT[file.name] ?? ""), el("span", { class: "size" }, size(file.size_bytes))))), told);
}

/** @param {ArtifactView} file */
function rank({ name }) {
  const place = FIRST.indexOf(name);
  return place < 0 ? FIRST.length : place;
}
