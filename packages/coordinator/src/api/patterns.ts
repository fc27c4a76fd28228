/** Names of configs: they appear in keys and URLs. */
export const CONFIG_NAME_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$';
/** Names of groups. */
export const GROUP_NAME_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$';
/** An agent's instance uid as UUID text. */
export const UID_PATTERN = '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$';
/** Names of credentials. */
export const TOKEN_NAME_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._@/ -]{0,63}$';
export const TOKEN_ID_PATTERN = '^[a-z0-9-]{1,64}$';
/** Names of labels. */
export const LABEL_NAME_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$';
export const DURATION_PATTERN = '^(?:[0-9]{1,9}(?:ms|[smhd]))+$';
/** Texts that go into YAML unescaped on some supervisors, which would not start with a backslash in them. */
export const PLAIN_TEXT_PATTERN = '^[^\\\\\\u0000-\\u001f]*$';
export const BASE64_PATTERN = '^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$';
export const ALERT_ID_PATTERN = '^\\d{1,16}-\\d{1,16}$';
export const HASH_PATTERN = '^[0-9a-f]{64}$';

/** What a text that does not match must be, to be read after "must". */
const WORDS: Readonly<Record<string, string>> = {
  [CONFIG_NAME_PATTERN]: 'be 1 to 128 letters (a to z), digits, ".", "_" or "-", and begin with a letter or digit',
  [GROUP_NAME_PATTERN]: 'be 1 to 63 letters (a to z), digits, ".", "_" or "-", and begin with a letter or digit',
  [UID_PATTERN]: 'be a UUID, for example 018f2c5e-7d0a-7cc1-9a40-2f1b6a4d9e01',
  [TOKEN_NAME_PATTERN]: 'be 1 to 64 letters (a to z), digits, spaces, ".", "_", "@", "/" or "-", and begin with a letter or digit',
  [TOKEN_ID_PATTERN]: 'be 1 to 64 lower-case letters, digits or "-"',
  [LABEL_NAME_PATTERN]: 'be 1 to 128 letters (a to z), digits, ".", "_", "/" or "-", and begin with a letter or digit',
  [DURATION_PATTERN]: 'be a duration, for example "90s", "12h" or "30d"',
  [PLAIN_TEXT_PATTERN]: 'have neither backslashes nor control characters',
  [BASE64_PATTERN]: 'be base64 with its padding',
  [ALERT_ID_PATTERN]: 'be the id of an alert, for example 1700000000000-0',
  [HASH_PATTERN]: 'be 64 lower-case hexadecimal digits',
};

/** What a text that does not match this pattern must be; undefined for a pattern that is not listed. */
export function wordsOfPattern(pattern: string): string | undefined {
  return Object.hasOwn(WORDS, pattern) ? WORDS[pattern] : undefined;
}
