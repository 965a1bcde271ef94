// A DICOM file without its pixels: the elements in front of them as they are, then pixels of no length. The service
// reads no pixels to say what it would do with a study, so that some kilobytes a slice are enough to ask it.

const FIRST_LOOK = 1 << 16;
const LAST_LOOK = 1 << 22; // private elements of a vendor may be long
const MAGIC_AT = 128;
const DEFLATED = "1.2.840.10008.1.2.1.99";
const BIG_ENDIAN = "1.2.840.10008.1.2.2";
const IMPLICIT = "1.2.840.10008.1.2";
const LONG_VRS = new Set(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]);
const UNDEFINED = 0xffffffff;
const [PIXELS, ITEM, ITEM_END, SEQUENCE_END] = [0x7fe00010, 0xfffee000, 0xfffee00d, 0xfffee0dd];

class Short extends Error {}

/**
 * Return the file without its pixels; null where that cannot be made, of a file that is none of DICOM for one.
 * @param {(bytes: number) => Promise<Uint8Array<ArrayBuffer>>} read returns the first bytes, fewer of a shorter file
 * @returns {Promise<Blob | null>}
 */
export async function withoutPixels(read) {
  for (let look = FIRST_LOOK; look <= LAST_LOOK; look *= 8) {
    const bytes = await read(look);
    try {
      return cut(bytes);
    } catch (fault) {
      if (!(fault instanceof Short || fault instanceof RangeError)) throw fault;
      if (bytes.length < look) return null;
    }
  }
  return null;
}

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {Blob | null}
 */
function cut(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (text(view, MAGIC_AT, 4) !== "DICM") return null;
  const { syntax, start } = meta(view);
  if (syntax === DEFLATED || syntax === BIG_ENDIAN || syntax === "") return null;
  const implicit = syntax === IMPLICIT;
  let place = start;
  for (;;) {
    const element = head(view, place, implicit);
    if (element.tag === PIXELS) return new Blob([bytes.slice(0, place), empty(view, place, element)]);
    if (element.tag > PIXELS) return null;
    place = after(view, element, implicit);
  }
}

/**
 * Pixels of no length, written as those of the file are: encapsulated ones keep an empty offset table (PS3.5 A.4).
 * @param {DataView} view
 * @param {number} place
 * @param {{ start: number, length: number }} element
 */
function empty(view, place, element) {
  const header = new Uint8Array(element.start - place);
  header.set(new Uint8Array(view.buffer, view.byteOffset + place, header.length));
  if (element.length === UNDEFINED) {
    const items = new DataView(new ArrayBuffer(16));
    [0xfffe, 0xe000, 0, 0, 0xfffe, 0xe0dd, 0, 0].forEach((word, n) => items.setUint16(2 * n, word, true));
    return new Blob([header, items.buffer]);
  }
  new DataView(header.buffer).setUint32(header.length - 4, 0, true);
  return new Blob([header]);
}

/**
 * Group 0002 is always explicit, little-endian (PS3.10 7.1).
 * @param {DataView} view
 */
function meta(view) {
  let place = MAGIC_AT + 4;
  let syntax = "";
  while (view.getUint16(place, true) === 2) {
    const element = head(view, place, false);
    if (element.tag === 0x00020010) syntax = text(view, element.start, element.length).replace(/[\0 ]+$/, "");
    place = element.start + element.length;
  }
  return { syntax, start: place };
}

/**
 * @param {DataView} view
 * @param {number} place
 * @param {boolean} implicit
 */
function head(view, place, implicit) {
  if (place + 12 > view.byteLength) throw new Short();
  const tag = view.getUint16(place, true) * 0x10000 + view.getUint16(place + 2, true);
  const vr = text(view, place + 4, 2);
  if (tag >= 0xfffe0000 || implicit || !/^[A-Z]{2}$/.test(vr)) {
    return { tag, start: place + 8, length: view.getUint32(place + 4, true) };
  }
  if (LONG_VRS.has(vr)) return { tag, start: place + 12, length: view.getUint32(place + 8, true) };
  return { tag, start: place + 8, length: view.getUint16(place + 6, true) };
}

/**
 * Return where the next element begins; sequences of undefined length are followed to their end.
 * @param {DataView} view
 * @param {{ start: number, length: number }} element
 * @param {boolean} implicit
 * @returns {number}
 */
function after(view, element, implicit) {
  if (element.length !== UNDEFINED) return element.start + element.length;
  let place = element.start;
  for (;;) {
    const item = head(view, place, implicit);
    if (item.tag === SEQUENCE_END) return item.start;
    if (item.tag !== ITEM) throw new Short();
    place = item.length === UNDEFINED ? afterItem(view, item.start, implicit) : item.start + item.length;
  }
}

/**
 * @param {DataView} view
 * @param {number} place
 * @param {boolean} implicit
 * @returns {number}
 */
function afterItem(view, place, implicit) {
  for (;;) {
    const element = head(view, place, implicit);
    if (element.tag === ITEM_END) return element.start;
    place = after(view, element, implicit);
  }
}

/**
 * @param {DataView} view
 * @param {number} place
 * @param {number} length
 */
function text(view, place, length) {
  if (place + length > view.byteLength) throw new Short();
  return String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + place, length));
}
