// The entries of a zip in the browser, without reading it whole: its directory, and the first bytes of an entry.
// Leaves out checks: the service makes them when the archive arrives.

const END = 0x06054b50;
const END_64_PLACE = 0x07064b50;
const ENTRY = 0x02014b50;
const LONGEST_COMMENT = 0xffff;
const [STORED, DEFLATED] = [0, 8];

/** @typedef {{ name: string, first: (bytes: number) => Promise<Uint8Array<ArrayBuffer>> }} Entry */

/**
 * List the files of a zip; null where its directory cannot be read (APPNOTE 4.3).
 * @param {Blob} file
 * @returns {Promise<Entry[] | null>}
 */
export async function entries(file) {
  const tailAt = Math.max(0, file.size - LONGEST_COMMENT - 42);
  const tail = await view(file, tailAt, file.size);
  for (let place = tail.byteLength - 22; place >= 0; place--) {
    if (tail.getUint32(place, true) !== END) continue;
    let [size, start] = [tail.getUint32(place + 12, true), tail.getUint32(place + 16, true)];
    if (place >= 20 && tail.getUint32(place - 20, true) === END_64_PLACE) {
      const at = Number(tail.getBigUint64(place - 12, true));
      const end = await view(file, at, at + 56);
      [size, start] = [Number(end.getBigUint64(40, true)), Number(end.getBigUint64(48, true))];
    }
    return start + size > file.size ? null : listed(file, await view(file, start, start + size));
  }
  return null;
}

/**
 * @param {Blob} file
 * @param {DataView} directory
 * @returns {Entry[]}
 */
function listed(file, directory) {
  const found = [];
  let place = 0;
  while (place + 46 <= directory.byteLength && directory.getUint32(place, true) === ENTRY) {
    const method = directory.getUint16(place + 10, true);
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((at) => directory.getUint16(place + at, true));
    const bytes = new Uint8Array(directory.buffer, directory.byteOffset + place + 46, nameLength);
    const name = new TextDecoder().decode(bytes);
    const { packed, at } = sizes(directory, place, nameLength, extraLength);
    const isFile = !name.endsWith("/") && (method === STORED || method === DEFLATED);
    if (isFile) found.push({ name, first: (/** @type {number} */ n) => first(file, { at, packed, method }, n) });
    place += 46 + nameLength + extraLength + commentLength;
  }
  return found;
}

/**
 * Where an entry lies and how long it is packed; of large archives the extra field says so (APPNOTE 4.5.3).
 * @param {DataView} directory
 * @param {number} place
 * @param {number} nameLength
 * @param {number} extraLength
 */
function sizes(directory, place, nameLength, extraLength) {
  let [packed, at] = [directory.getUint32(place + 20, true), directory.getUint32(place + 42, true)];
  const unpacked = directory.getUint32(place + 24, true);
  let field = place + 46 + nameLength;
  const end = field + extraLength;
  while (field + 4 <= end) {
    const length = directory.getUint16(field + 2, true);
    if (directory.getUint16(field, true) === 1) {
      let value = field + 4;
      if (unpacked === 0xffffffff) value += 8;
      if (packed === 0xffffffff) {
        packed = Number(directory.getBigUint64(value, true));
        value += 8;
      }
      if (at === 0xffffffff) at = Number(directory.getBigUint64(value, true));
    }
    field += 4 + length;
  }
  return { packed, at };
}

/**
 * Return the first bytes of an entry, unpacked.
 * @param {Blob} file
 * @param {{ at: number, packed: number, method: number }} entry
 * @param {number} n
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
async function first(file, { at, packed, method }, n) {
  const local = await view(file, at, at + 30);
  const start = at + 30 + local.getUint16(26, true) + local.getUint16(28, true);
  const content = file.slice(start, start + packed);
  if (method === STORED) return new Uint8Array(await content.slice(0, n).arrayBuffer());
  const reader = content.stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const bytes = new Uint8Array(n);
  let have = 0;
  while (have < n) {
    const { done, value } = await reader.read();
    if (done) break;
    const part = value.subarray(0, n - have);
    bytes.set(part, have);
    have += part.length;
  }
  void reader.cancel().catch(() => {});
  return bytes.subarray(0, have);
}

/**
 * @param {Blob} file
 * @param {number} from
 * @param {number} to
 */
async function view(file, from, to) {
  return new DataView(await file.slice(from, to).arrayBuffer());
}
