#!/usr/bin/env bash
# lz4 0.6.5 (npm): the published package holds a compiled module for macOS.
#
# A guess: where install scripts do not run (npm's ignore-scripts), a package with a native half has no
# compiled module, and require() says that it is missing or falls back to JavaScript.
# Seen (Linux x86-64, Node 20.20.2): build/Release/*.node are in the tarball and are Mach-O files, so
# require('lz4') fails with "invalid ELF header". The JavaScript half, lz4/lib/binding.js, works, with a surprise of
# its own: it refuses room for its output that is smaller than the worst case, however small the output.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts lz4@0.6.5
cat >see.cjs <<'JS'
const assert = require('node:assert/strict');
const { openSync, readSync } = require('node:fs');

const path = 'node_modules/lz4/build/Release/xxhash.node';
const head = Buffer.alloc(4);
readSync(openSync(path), head);
console.log(path, 'starts with', head.toString('hex'));
assert.equal(head.readUInt32LE(), 0xfeedfacf, 'a 64-bit Mach-O file');
assert.throws(
  () => require('lz4'),
  (error) => {
    console.log(error.message);
    return error.code === 'ERR_DLOPEN_FAILED' && /invalid ELF header/.test(error.message);
  },
);

const block = require('lz4/lib/binding.js');
const page = Buffer.alloc(4096, 'abc');
assert.equal(block.compressBound(4096), 4128);
const bytes = block.compress(page, Buffer.alloc(4128));
console.log('4096 bytes become', bytes, '- in room for 4128');
assert.ok(bytes < 64);
assert.throws(() => block.compress(page, Buffer.alloc(4127)), /output too small/);
JS
node see.cjs
echo "lz4 0.6.5 behaves as described"
