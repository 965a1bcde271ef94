// Files as the body of a request: one as it is, many as parts of a form. The browser reads them from the disk as
// they are sent, so that gigabytes cost no memory.

/** @import { PickedFile } from "../types.js" */

/** @type {[RegExp, string][]} */
const TYPES = [
  [/\.zip$/i, "application/zip"],
  [/\.tar$/i, "application/x-tar"],
  [/\.(gz|tgz)$/i, "application/gzip"],
  [/\.dcm$/i, "application/dicom"],
];

/**
 * @param {PickedFile[]} files
 * @returns {{ content: Blob | FormData, headers: Record<string, string> }}
 */
export function body(files) {
  if (files.length === 1) {
    const type = TYPES.find(([name]) => name.test(files[0].name))?.[1] ?? "application/octet-stream";
    return { content: files[0].file, headers: { "Content-Type": type } };
  }
  const form = new FormData();
  files.forEach(({ file }, n) => form.append("file", file, `${n}`)); // names may tell who the patient is
  return { content: form, headers: {} };
}
