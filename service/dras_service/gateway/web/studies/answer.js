// What the service says of a study before it is sent: the series it would use, and every warning of the headers.

import { el } from "../dom.js";
import { codeName, number } from "../wording.js";

/** @import { Candidate, Inspection, Validation } from "../types.js" */

/**
 * Show an answer; `query` gives what is to be asked of the job, the series where another was chosen.
 * @param {Validation | null} said null where the study is too large to be asked about
 * @returns {{ element: HTMLElement, query: () => string }}
 */
export function answer(said) {
  if (said === null) {
    const text = "Too large to be looked at before it is sent; the service looks at it as soon as it has arrived.";
    return { element: el("p", { class: "hint" }, text), query: () => "" };
  }
  if (said.inspection === null) {
    const why = said.refusal ?? { code: "REFUSED", message: "The study would be refused." };
    return {
      element: el("div", { class: "answer refused", role: "alert" }, el("p", {}, el("strong", {}, `Refused: ${codeName(why.code)}`)), el("p", {}, why.message)),
      query: () => "",
    };
  }
  const found = said.inspection;
  const usable = found.candidates.filter((one) => one.chosen || one.modality === "CT");
  const choice = usable.length > 1 ? seriesChoice(usable) : null;
  const element = el(
    "div",
    { class: "answer" },
    el("p", {}, described(found)),
    choice,
    found.warnings.length === 0 ? el("p", { class: "hint" }, "The headers give no reason for a warning.") : null,
    found.warnings.length === 0 ? null : el("ul", { class: "cautions" }, ...found.warnings.map((one) => el("li", { class: one.severity }, one.message))),
  );
  const query = () => {
    const chosen = choice?.value;
    return chosen && chosen !== found.series_instance_uid ? `?series=${encodeURIComponent(chosen)}` : "";
  };
  return { element, query };
}

/** @param {Inspection} found */
function described({ geometry, acquisition }) {
  const [x, y, z] = geometry.size_xyz;
  const thick = geometry.spacing_xyz_mm[2];
  const made = [acquisition.manufacturer, acquisition.model, acquisition.kernel && `kernel ${acquisition.kernel}`].filter(Boolean);
  return `${z} slices of ${x} × ${y}, ${number(thick, 2)} mm apart. ${made.join(", ")}`;
}

/** @param {Candidate[]} candidates */
function seriesChoice(candidates) {
  const select = el("select", { "aria-label": "Series" });
  for (const one of candidates) {
    const text = `${one.n_images} images${one.chosen ? ", recommended" : `: ${one.reason}`}`;
    select.append(el("option", { value: one.series_instance_uid, selected: one.chosen }, text));
  }
  return select;
}
