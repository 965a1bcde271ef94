// Every warning of a result, the severe ones first, before any number.

import { el, replace } from "../dom.js";
import { codeName } from "../wording.js";
import { ranked } from "./ranking.js";

/** @import { Context } from "./job_view.js" */

/**
 * @param {HTMLElement} body
 * @param {Context} context
 */
export function fill(body, { result }) {
  const { n_patches: all, n_valid: valid } = result.qc.patches;
  const partial = result.status === "partial" ? el("p", { class: "band" }, `Partial result: ${valid} of ${all} patches are valid.`) : null;
  const warnings = ranked(result);
  if (warnings.length === 0) return replace(body, partial, el("p", { class: "hint" }, "No warnings."));
  replace(
    body,
    partial,
    el("ol", { class: "cautions" }, ...warnings.map(({ code, severity, message }) =>
      el("li", { class: severity }, el("strong", {}, severity === "severe" ? `Severe: ${codeName(code)}.` : `${codeName(code)}.`), " ", message))),
  );
}
