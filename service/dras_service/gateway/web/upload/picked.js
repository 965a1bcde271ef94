// What a person drops or chooses, as a flat list of files; folders are walked. Names stay in this page: the
// service never uses any.

/** @import { Picked, PickedFile } from "../types.js" */

const LEFT_OUT = /^(\.|__MACOSX|Thumbs\.db$|desktop\.ini$)/i;

/**
 * @param {DataTransfer} dropped
 * @returns {Promise<Picked | null>}
 */
export async function fromDrop(dropped) {
  // Entries must be taken before the first wait: the list is emptied when the event ends.
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  /** @type {PickedFile[]} */
  const files = [];
  for (const entry of entries) await walk(entry, files);
  return picked(files, entries.length === 1 ? entries[0].name : null);
}

/**
 * @param {FileList | null} list
 * @returns {Picked | null}
 */
export function fromInput(list) {
  const files = [...(list ?? [])]
    .filter((file) => !LEFT_OUT.test(file.name))
    .map((file) => ({ name: file.webkitRelativePath || file.name, file }));
  const top = files[0]?.name.split("/");
  return picked(files, top && top.length > 1 ? top[0] : null);
}

/**
 * @param {PickedFile[]} files
 * @param {string | null} label
 * @returns {Picked | null}
 */
function picked(files, label) {
  if (files.length === 0) return null;
  const bytes = files.reduce((sum, { file }) => sum + file.size, 0);
  return { label: label ?? (files.length === 1 ? files[0].name : `${files.length} files`), files, bytes };
}

/**
 * @param {FileSystemEntry} entry
 * @param {PickedFile[]} into
 */
async function walk(entry, into) {
  if (LEFT_OUT.test(entry.name)) return;
  if (entry.isFile) {
    const file = await new Promise((done, failed) => /** @type {FileSystemFileEntry} */ (entry).file(done, failed));
    into.push({ name: entry.fullPath, file });
    return;
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((done, failed) => reader.readEntries(done, failed)); // a hundred at a time
    if (some.length === 0) return;
    for (const each of some) await walk(each, into);
  }
}
