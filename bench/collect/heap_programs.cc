// Programs whose heaps are corpora: each walks the machine's own files, parses them
// and keeps what it made, as long as there is room.
#include "bench/collect/process.h"

namespace tmemd::bench {

namespace {

// Loads every module it finds, parses JSON and keeps it all.
constexpr const char* kNodeProgram = R"(
const fs = require('fs'), path = require('path'), keep = [];
let bytes = 0;
const limit = +process.argv[1];
const seen = JSON.parse(JSON.stringify(process.report ? process.report.getReport() : {}));
keep.push(seen);
function walk(folder) {
  let names = [];
  try { names = fs.readdirSync(folder, { withFileTypes: true }); } catch { return; }
  for (const name of names) {
    if (bytes > limit) return;
    const file = path.join(folder, name.name);
    if (name.isDirectory()) walk(file);
    else if (/\.(js|json|ts|map|md|h|py|txt)$/.test(name.name)) {
      try {
        const text = fs.readFileSync(file, 'utf8');
        bytes += text.length * 2;
        if (name.name.endsWith('.json') || name.name.endsWith('.map')) keep.push(JSON.parse(text));
        else keep.push(text.split('\n').map((line, i) => ({ line, i, file, words: line.split(/\W+/) })));
      } catch {}
    }
  }
}
for (const root of ['node_modules', '/usr/share', '/usr/lib/node_modules', '/usr/local', '/usr/include', '/usr/lib']) walk(root);
process.stdout.write('r');
setInterval(() => keep.length, 1e6);
)";

constexpr const char* kPythonProgram = R"(
import sys, os, ast, re, time
limit = int(sys.argv[1]); keep = []; size = 0
for root in ['/usr/lib/python3', '/usr/lib/python3.11', '/usr/share', '/usr/include', '/usr/lib']:
    for folder, _, names in os.walk(root):
        if size > limit: break
        for name in names:
            if not re.search(r'\.(py|h|txt|json|md)$', name): continue
            try:
                text = open(os.path.join(folder, name), encoding='utf8').read()
                size += len(text) * 6
                keep.append(ast.parse(text) if name.endswith('.py') else [(i, l, l.split()) for i, l in enumerate(text.split('\n'))])
            except Exception: pass
sys.stdout.write('r'); sys.stdout.flush(); time.sleep(1e6)
)";

}  // namespace

std::vector<std::string> nodeHeap(size_t bytes) {
  return {"node", "--max-old-space-size=8192", "-e", kNodeProgram, std::to_string(bytes)};
}

std::vector<std::string> pythonHeap(size_t bytes) { return {"python3", "-c", kPythonProgram, std::to_string(bytes)}; }

}  // namespace tmemd::bench
