/** One field of an encoded protobuf message, not decoded further. */
export interface RawField {
  readonly number: number;
  /** Bytes of a length-delimited field; empty for the other wire types. */
  readonly payload: Uint8Array;
}

const readVarint = (bytes: Uint8Array, start: number): readonly [value: number, next: number] => {
  let value = 0;
  let factor = 1;
  for (let at = start; at < bytes.length && at < start + 10; at++) {
    const byte = bytes[at] ?? 0;
    value += (byte & 0x7f) * factor;
    factor *= 128;
    if (byte < 0x80) return [value, at + 1];
  }
  throw new Error('unfinished varint');
};

/** Walks over the fields of a message in wire order, repeats included. Throws on bytes that are not protobuf. */
export const rawFields = (bytes: Uint8Array): RawField[] => {
  const fields: RawField[] = [];
  let at = 0;
  while (at < bytes.length) {
    const [tag, afterTag] = readVarint(bytes, at);
    const number = Math.floor(tag / 8);
    let payload: Uint8Array = new Uint8Array();
    switch (tag % 8) {
      case 0:
        [, at] = readVarint(bytes, afterTag);
        break;
      case 1:
        at = afterTag + 8;
        break;
      case 2: {
        const [length, start] = readVarint(bytes, afterTag);
        at = start + length;
        payload = bytes.subarray(start, at);
        break;
      }
      case 5:
        at = afterTag + 4;
        break;
      default:
        throw new Error(`wire type ${tag % 8}`);
    }
    if (at > bytes.length) throw new Error('a field is longer than its message');
    fields.push({ number, payload });
  }
  return fields;
};

/** All payloads of the field at the end of a path of field numbers, through every repeat on the way. */
export const payloadsAt = (bytes: Uint8Array, path: readonly number[]): Uint8Array[] =>
  path.reduce<Uint8Array[]>(
    (messages, number) =>
      messages.flatMap((message) =>
        rawFields(message)
          .filter((field) => field.number === number)
          .map((field) => field.payload),
      ),
    [bytes],
  );
