// The patch grid coloured by any number that a patch has: densitometry, a component of its embedding, or how like it
// is to another patch.

import { el, replace } from "../dom.js";
import { number } from "../wording.js";
import { DIVERGING, SEQUENCE, drawBar } from "./colours.js";
import { isPatch } from "./patches.js";

/** @import { Image } from "./nifti.js" */
/** @import { Patches } from "./patches.js" */
/** @import { Scan } from "./scan.js" */

/** @type {[value: string, title: string, unit: string, digits: number][]} */
const QUANTITIES = [
  ["", "Nothing", "", 0],
  ["laa950", "LAA\u2011950", "%", 1],
  ["laa910", "LAA\u2011910", "%", 1],
  ["perc15_hu", "Perc15", "HU", 0],
  ["mean_hu", "Mean density", "HU", 0],
  ["lung_fraction", "Share of lung", "", 2],
  ["component", "Embedding component", "", 2],
  ["similarity", "Similarity to a picked patch", "", 3],
];

/**
 * @param {HTMLElement} place
 * @param {{ scan: Scan, lungs: Image, patches: Patches, voxel: () => number }} options
 * @returns {{ at: (voxel: number) => string }} says what a voxel's patch has
 */
export function patchControls(place, { scan, lungs, patches, voxel }) {
  const owners = patches.owners(lungs);
  const painted = new Uint8Array(owners.length);
  /** @type {{ values: Float32Array | null, picked: number | null }} */
  const now = { values: null, picked: null };
  const select = el("select", { id: "patch-quantity" }, ...QUANTITIES.filter(([value]) => offered(patches, value)).map(([value, title]) => el("option", { value }, title)));
  const component = el("input", { id: "patch-component", type: "number", min: 1, max: patches.width, value: 1 });
  const opacity = el("input", { id: "patch-opacity", type: "range", min: 0.1, max: 1, step: 0.05, value: 0.55 });
  const pick = el("button", { type: "button" }, "Pick the patch at the crosshair");
  const picked = el("span", { class: "hint", role: "status" });
  const which = el("span", { class: "part" }, el("label", { for: "patch-component" }, "No. "), component);
  const likeness = el("span", { class: "part" }, pick, picked);
  const bar = el("canvas", { width: 160, height: 10, class: "bar" });
  const ends = [el("span"), el("span")];
  const legend = el("span", { class: "part legend" }, ends[0], bar, ends[1]);
  const strength = el("span", { class: "part" }, el("label", { for: "patch-opacity" }, "Strength "), opacity);
  replace(place, el("fieldset", {}, el("legend", {}, "Colour patches by"), el("label", { class: "unseen", for: "patch-quantity" }, "Quantity"), select, which, likeness, legend, strength));

  const draw = () => {
    const [, , unit, digits] = chosen();
    which.hidden = select.value !== "component";
    likeness.hidden = select.value !== "similarity";
    now.values = valuesOf();
    legend.hidden = strength.hidden = now.values === null;
    scan.tell();
    if (now.values === null) return scan.show("patches", 0);
    const scale = patches.scale(now.values);
    const colours = select.value === "component" ? DIVERGING : SEQUENCE;
    patches.paint(owners, now.values, scale, painted);
    ends.forEach((end, n) => replace(end, `${number(scale[n], digits)}${unit && n === 1 ? ` ${unit}` : ""}`));
    drawBar(bar, colours);
    return scan.lay("patches", painted, { colours, most: 255, opacity: Number(opacity.value) });
  };
  const valuesOf = () => {
    if (select.value === "") return null;
    if (select.value === "component") return patches.component(Math.min(patches.width, Math.max(1, Math.round(Number(component.value)) || 1)) - 1);
    if (select.value === "similarity") return now.picked === null ? null : patches.similarity(now.picked);
    return patches.columns.get(select.value) ?? null;
  };
  const chosen = () => /** @type {typeof QUANTITIES[number]} */ (QUANTITIES.find(([value]) => value === select.value));
  pick.addEventListener("click", () => {
    const owner = owners[voxel()];
    now.picked = isPatch(owner) ? owner : null;
    replace(picked, now.picked === null ? "There is no valid patch at the crosshair." : `Patch ${now.picked}`);
    return draw();
  });
  for (const input of [select, component]) input.addEventListener("change", draw);
  opacity.addEventListener("input", () => scan.show("patches", Number(opacity.value)));
  void draw();
  return {
    at(at) {
      const owner = owners[at];
      if (!isPatch(owner) || now.values === null) return "";
      const [, title, unit, digits] = chosen();
      return `patch ${owner}: ${title} ${number(now.values[owner], digits)}${unit ? ` ${unit}` : ""}`;
    },
  };
}

/**
 * @param {Patches} patches
 * @param {string} quantity
 */
function offered(patches, quantity) {
  return ["", "component", "similarity"].includes(quantity) || patches.columns.has(quantity);
}
