#!/usr/bin/env bash
# xxhash-wasm 1.1.0: the raw functions hash what they were not given.
#
# A guess: h64Raw() takes any bytes (string, array, ArrayBuffer, typed array), or throws.
# Seen (Node 20.20.2):
#   a string, an array     hashed as no bytes at all: all of them are equal
#   an ArrayBuffer         its content is not copied: what the last call hashed is hashed again, in its length
#   a Uint16Array          copied element by element, so cut to the low bytes, and hashed in its length in bytes
# Only a Uint8Array is hashed as it is.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund xxhash-wasm@1.1.0
cat >see.mjs <<'JS'
import assert from 'node:assert/strict';
import xxhash from 'xxhash-wasm';

const { h64, h64Raw } = await xxhash();
const bytes = (text) => new TextEncoder().encode(text);
const empty = h64Raw(new Uint8Array());

assert.equal(h64Raw(bytes('hello')), h64('hello'));
console.log('as it is:      ', h64('hello'));
console.log('no bytes:      ', empty);
console.log('a string:      ', h64Raw('hello'));
assert.equal(h64Raw('hello'), empty);
console.log('an array:      ', h64Raw([...bytes('hello')]));
assert.equal(h64Raw([...bytes('hello')]), empty);

h64Raw(bytes('other'));
const buffer = h64Raw(bytes('hello').buffer);
console.log('an ArrayBuffer:', buffer, 'after', h64('other'));
assert.equal(buffer, h64('other'));

const wide = new Uint16Array([0x101, 0x202, 0x303]);
assert.notEqual(h64Raw(wide), h64Raw(new Uint8Array(wide.buffer)));
JS
node see.mjs
echo "xxhash-wasm 1.1.0 behaves as described"
