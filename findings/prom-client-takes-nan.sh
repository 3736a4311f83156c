#!/usr/bin/env bash
# prom-client 15.1.3: what is no number reaches a counter, and stays.
#
# A guess: inc() throws for everything that is not a number, as Gauge.set(undefined) does.
# Seen (Node 20.20.2):
#   inc({l: 'x'}, NaN)     is taken; the series reads "Nan" from then on, whatever is added later
#   inc({l: 'y'}, null)    counts 1
#   inc({l: undefined})    makes a series with l="undefined"
#   buckets: [1, Infinity] gives a bucket le="Infinity" beside the le="+Inf" that is always there
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund prom-client@15.1.3
cat >see.mjs <<'JS'
import assert from 'node:assert/strict';
import client from 'prom-client';

const counter = new client.Counter({ name: 'pages_total', help: 'pages', labelNames: ['l'] });
counter.inc({ l: 'x' }, Number.NaN);
counter.inc({ l: 'x' }, 1);
counter.inc({ l: 'y' }, null);
counter.inc({ l: undefined });
const gauge = new client.Gauge({ name: 'held', help: 'held' });
assert.throws(() => gauge.set(undefined), TypeError);
new client.Histogram({ name: 'seconds', help: 'seconds', buckets: [1, Number.POSITIVE_INFINITY] }).observe(0.5);

const text = await client.register.metrics();
console.log(text);
for (const line of [
  'pages_total{l="x"} Nan',
  'pages_total{l="y"} 1',
  'pages_total{l="undefined"} 1',
  'seconds_bucket{le="Infinity"} 1',
  'seconds_bucket{le="+Inf"} 1',
]) {
  assert.ok(text.split('\n').includes(line), `no longer: ${line}`);
}
JS
node see.mjs
echo "prom-client 15.1.3 behaves as described"
