import type { AnyValue, KeyValue } from '@opamp-gateway/proto/anyvalue';

/** An agent's attributes as text, without a prototype, so that every key is harmless. */
export type AttributeRecord = Record<string, string>;

/** The part of an `AgentDescription` that is flattened. [OpAMP AgentDescription] */
export interface DescribedAttributes {
  readonly identifyingAttributes: readonly KeyValue[];
  readonly nonIdentifyingAttributes: readonly KeyValue[];
}

/** Most attributes kept of one agent; identifying ones come first, so they are the last to be lost. */
export const MAX_ATTRIBUTES = 128;

/** Longest key and longest value kept, in bytes of UTF-8; longer ones are cut at a character's end. */
export const MAX_ATTRIBUTE_BYTES = 1024;

const MAX_DEPTH = 16;

/**
 * Both attribute lists of an agent as one record of text, for selectors, listings and the agent's record. A key of both
 * lists takes the identifying value; of a key given twice in one list the first counts. Empty keys are left out. Never throws.
 */
export function flattenDescription(description: DescribedAttributes): AttributeRecord {
  const record: AttributeRecord = Object.create(null) as AttributeRecord;
  let count = 0;
  for (const list of [description.identifyingAttributes, description.nonIdentifyingAttributes]) {
    for (const { key, value } of list) {
      if (count >= MAX_ATTRIBUTES) return record;
      const name = cutText(key);
      if (name === '' || name in record) continue;
      record[name] = valueText(value);
      count += 1;
    }
  }
  return record;
}

/**
 * An AnyValue as text: strings as they are, integers in decimal, `true`/`false`, doubles as JavaScript writes them, bytes as
 * base64, lists and maps as JSON, no value as empty text. Cut to MAX_ATTRIBUTE_BYTES; JSON that was cut no longer parses.
 */
export function valueText(value: AnyValue | undefined): string {
  const content = value?.value;
  switch (content?.case) {
    case undefined:
      return '';
    case 'stringValue':
      return cutText(content.value);
    case 'boolValue':
    case 'intValue':
    case 'doubleValue':
      return String(content.value);
    case 'bytesValue':
      return cutText(base64(content.value));
    case 'arrayValue':
    case 'kvlistValue': {
      const writer = new JsonWriter();
      writer.write(value, 0);
      return cutText(writer.text);
    }
  }
}

/** Writes nested values as JSON and stops once more has been written than will be kept. */
class JsonWriter {
  text = '';

  write(value: AnyValue | undefined, depth: number): void {
    if (this.#full()) return;
    const content = value?.value;
    switch (content?.case) {
      case undefined:
        this.text += 'null';
        return;
      case 'stringValue':
        this.text += JSON.stringify(cutText(content.value));
        return;
      case 'bytesValue':
        this.text += JSON.stringify(base64(content.value));
        return;
      case 'boolValue':
      case 'intValue':
        this.text += String(content.value);
        return;
      case 'doubleValue':
        this.text += Number.isFinite(content.value) ? String(content.value) : JSON.stringify(String(content.value));
        return;
      case 'arrayValue':
        this.#list('[', content.value.values, ']', depth, (item) => this.write(item, depth + 1));
        return;
      case 'kvlistValue':
        this.#list('{', content.value.values, '}', depth, (item) => {
          this.text += `${JSON.stringify(cutText(item.key))}:`;
          this.write(item.value, depth + 1);
        });
        return;
    }
  }

  #list<Item>(open: string, items: readonly Item[], close: string, depth: number, writeItem: (item: Item) => void): void {
    if (depth >= MAX_DEPTH) {
      this.text += 'null';
      return;
    }
    this.text += open;
    for (const [index, item] of items.entries()) {
      if (this.#full()) return;
      if (index > 0) this.text += ',';
      writeItem(item);
    }
    this.text += close;
  }

  #full(): boolean {
    return this.text.length > MAX_ATTRIBUTE_BYTES;
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, MAX_ATTRIBUTE_BYTES)).toString('base64');
}

/** Cuts text to MAX_ATTRIBUTE_BYTES without splitting a character. */
function cutText(text: string): string {
  if (text.length * 3 <= MAX_ATTRIBUTE_BYTES) return text;
  const bytes = Buffer.from(text.slice(0, MAX_ATTRIBUTE_BYTES + 1), 'utf8');
  if (text.length <= MAX_ATTRIBUTE_BYTES && bytes.length <= MAX_ATTRIBUTE_BYTES) return text;
  let end = MAX_ATTRIBUTE_BYTES;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}
