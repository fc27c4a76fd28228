import { ScalarType, type DescEnum, type DescField, type DescFile, type DescMessage } from '@bufbuild/protobuf';
import { file_opamp_v1_anyvalue } from '@opamp-gateway/proto/anyvalue';
import {
  OpAMPConnectionSettingsSchema,
  OtherConnectionSettingsSchema,
  TelemetryConnectionSettingsSchema,
  file_opamp_v1_opamp,
} from '@opamp-gateway/proto/opamp';
import { describe, expect, it } from 'vitest';
import { ENUM_TABLE, MESSAGE_TABLE } from './schema-table.ts';

const FILES: readonly DescFile[] = [file_opamp_v1_opamp, file_opamp_v1_anyvalue];

function scalarName(scalar: ScalarType): string {
  return ScalarType[scalar].toLowerCase();
}

/** Type of a list element or a map value. */
function elementType({ scalar, enum: enumeration, message }: DescField & { fieldKind: 'list' | 'map' }): string {
  return scalar === undefined ? (message ?? enumeration).name : scalarName(scalar);
}

function typeOf(field: DescField): string {
  switch (field.fieldKind) {
    case 'scalar':
      return scalarName(field.scalar);
    case 'message':
      return field.message.name;
    case 'enum':
      return field.enum.name;
    case 'list':
      return `repeated ${elementType(field)}`;
    case 'map':
      return `map<${scalarName(field.mapKey)}, ${elementType(field)}>`;
  }
}

/** `field.oneof` is set only for a oneof written in the schema, not for the synthetic one behind `optional`. */
function renderField(field: DescField): string {
  const oneof = field.oneof === undefined ? '' : `oneof ${field.oneof.name} `;
  return `  ${field.number} ${field.name}: ${oneof}${typeOf(field)}`;
}

function renderMessage(message: DescMessage): string {
  return [message.name, ...message.fields.toSorted((a, b) => a.number - b.number).map(renderField)].join('\n');
}

/** A constant without the prefix is shown whole, so it differs from the table. */
function renderEnum(desc: DescEnum): string {
  const prefix = `${desc.name}_`;
  return [
    desc.name,
    ...desc.values.map(({ name, number }) => `  ${number} ${name.startsWith(prefix) ? name.slice(prefix.length) : `${name} (no prefix)`}`),
  ].join('\n');
}

/** Splits a table into its blocks, by the name in the first line. */
function blocks(table: string): Map<string, string> {
  return new Map(table.split(/\n(?! )/u).map((block) => [block.split('\n', 1)[0] ?? '', block]));
}

describe('generated descriptors', () => {
  const messages = FILES.flatMap((file) => file.messages);
  const enums = FILES.flatMap((file) => file.enums);

  it.each(FILES)('$name is proto3 in package opamp.proto.v1', (file) => {
    expect(file.proto.syntax).toBe('proto3');
    expect(file.proto.package).toBe('opamp.proto.v1');
    expect(file.extensions).toEqual([]);
    expect(file.services).toEqual([]);
  });

  it('has the messages of the table and no others', () => {
    expect(messages.map(({ name }) => name).toSorted()).toEqual([...blocks(MESSAGE_TABLE).keys()].toSorted());
    expect(messages.flatMap(({ nestedMessages, nestedEnums }) => [...nestedMessages, ...nestedEnums])).toEqual([]);
  });

  it('has the enums of the table and no others', () => {
    expect(enums.map(({ name }) => name).toSorted()).toEqual([...blocks(ENUM_TABLE).keys()].toSorted());
  });

  it.each([...blocks(MESSAGE_TABLE)])('message %s has the numbers, names and types of the table', (name, block) => {
    expect(messages.filter((message) => message.name === name).map(renderMessage)).toEqual([block]);
  });

  it.each([...blocks(ENUM_TABLE)])('enum %s has the numbers and prefixed names of the table', (name, block) => {
    expect(enums.filter((desc) => desc.name === name).map(renderEnum)).toEqual([block]);
  });

  it('keeps enums open, so that numbers of a newer protocol survive', () => {
    expect(enums.filter(({ open }) => !open)).toEqual([]);
  });

  it('uses no proto3 optional field: an unset scalar cannot be told from its default', () => {
    const optional = messages.flatMap(({ fields }) => fields).filter(({ proto }) => proto.proto3Optional);
    expect(optional.map(String)).toEqual([]);
  });

  it('represents every 64-bit field as a bigint', () => {
    const wide = new Set([ScalarType.INT64, ScalarType.UINT64, ScalarType.FIXED64]);
    const fields = messages.flatMap((message) => message.fields).filter((field) => field.fieldKind === 'scalar' && wide.has(field.scalar));
    expect(fields.length).toBe(10);
    expect(fields.filter((field) => field.fieldKind === 'scalar' && field.longAsString).map(String)).toEqual([]);
  });

  it('numbers tls and proxy 4 and 5 in TelemetryConnectionSettings, but 5 and 6 in the other two', () => {
    const schemas = [OpAMPConnectionSettingsSchema, TelemetryConnectionSettingsSchema, OtherConnectionSettingsSchema];
    const numbers = schemas.map(({ name, field }) => [name, field['tls']?.number, field['proxy']?.number]);
    expect(numbers).toEqual([
      ['OpAMPConnectionSettings', 5, 6],
      ['TelemetryConnectionSettings', 4, 5],
      ['OtherConnectionSettings', 5, 6],
    ]);
  });
});
