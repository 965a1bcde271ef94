// What the service would do with a study, asked before it is sent. DICOM is asked about without its pixels, so that
// nothing is uploaded twice: some kilobytes a slice, out of a folder or a zip alike. A small upload of another kind
// is asked about as it is; a large one is not, and the page says so.

import { problemOf, unreachable } from "../api.js";
import { withoutPixels } from "./dicom_head.js";
import { body } from "./body.js";
import { entries } from "./zip.js";

/** @import { Api } from "../api.js" */
/** @import { Picked, PickedFile, Validation } from "../types.js" */

const MOST_WHOLE_BYTES = 32 << 20;
const MOST_OTHER_BYTES = 1 << 16; // of a file that is no DICOM, beside others that are

/**
 * Ask; null where the study is too large for that. Raises Problem.
 * @param {Api} api
 * @param {Picked} picked
 * @param {{ onRead: (fraction: number) => void, signal: AbortSignal }} options
 * @returns {Promise<Validation | null>}
 */
export async function check(api, picked, { onRead, signal }) {
  const heads = await headsOf(picked, onRead, signal);
  const asked = heads ?? (picked.bytes <= MOST_WHOLE_BYTES ? picked.files : null);
  if (asked === null) return null;
  const { content, headers } = body(asked);
  let answer;
  try {
    answer = await fetch("/v1/validate", { method: "POST", body: content, headers: { ...api.headers, ...headers }, signal });
  } catch (fault) {
    if (signal.aborted) throw fault;
    throw unreachable();
  }
  if (!answer.ok) throw problemOf(answer.status, await answer.text());
  return answer.json();
}

/**
 * Return all files without their pixels; null where none of them is DICOM.
 * @param {Picked} picked
 * @param {(fraction: number) => void} onRead
 * @param {AbortSignal} signal
 * @returns {Promise<PickedFile[] | null>}
 */
async function headsOf(picked, onRead, signal) {
  const sources = await sourcesOf(picked);
  if (sources === null) return null;
  const found = [];
  let nDicom = 0;
  for (const [n, { name, first }] of sources.entries()) {
    signal.throwIfAborted();
    const head = await withoutPixels(first);
    if (head !== null) {
      nDicom++;
      found.push({ name, file: head });
    } else {
      const whole = await first(MOST_OTHER_BYTES + 1);
      if (whole.length > MOST_OTHER_BYTES) return null;
      if (whole.length > 0) found.push({ name, file: new Blob([whole]) });
    }
    if (n % 16 === 0) onRead(n / sources.length);
  }
  return nDicom > 0 ? found : null;
}

/** @param {Picked} picked */
async function sourcesOf({ files }) {
  if (files.length === 1 && /\.zip$/i.test(files[0].name)) return entries(files[0].file);
  return files.map(({ name, file }) => ({
    name,
    first: async (/** @type {number} */ n) => new Uint8Array(await file.slice(0, n).arrayBuffer()),
  }));
}
