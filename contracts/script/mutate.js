// A compiler that stays: recompiling one contract takes half a second, or two with the optimizer.
// Reads one JSON request a line, {sources: {file: text}, contracts: {name: file}, optimized}, where `sources` replace
// those on disk; answers one JSON line, {name: {bytecode, deployedBytecode}}, or null where it does not compile.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline');
const solc = require('solc');

const HOME = path.join(__dirname, '..');
const { sources: LOCATED, settings: SETTINGS } = JSON.parse(
  fs.readFileSync(path.join(HOME, 'artifacts', 'input.json'), 'utf8'),
);
const TEXTS = Object.fromEntries(
  Object.entries(LOCATED).map(([name, { urls }]) => [name, fs.readFileSync(path.join(HOME, urls[0]), 'utf8')]),
);

// What is not needed is not parsed either.
function selectSources(name, texts, found = {}) {
  if (name in found) return found;
  found[name] = { content: texts[name] };
  for (const [, target] of texts[name].matchAll(/^import\s[^"';]*["']([^"']+)["']\s*;/gm)) {
    selectSources(target.startsWith('.') ? path.posix.join(path.posix.dirname(name), target) : target, texts, found);
  }
  return found;
}

function compile({ sources, contracts, optimized }) {
  const texts = { ...TEXTS, ...sources };
  const optimizer = { ...SETTINGS.optimizer, enabled: optimized };
  const built = {};
  for (const [name, file] of Object.entries(contracts)) {
    const outputSelection = { [file]: { [name]: ['evm.bytecode.object', 'evm.deployedBytecode.object'] } };
    const input = {
      language: 'Solidity',
      sources: selectSources(file, texts),
      settings: { ...SETTINGS, optimizer, outputSelection },
    };
    const output = JSON.parse(solc.compile(JSON.stringify(input)));
    if ((output.errors ?? []).some((error) => error.severity === 'error')) return null;
    const { bytecode, deployedBytecode } = output.contracts[file][name].evm;
    built[name] = { bytecode: `0x${bytecode.object}`, deployedBytecode: `0x${deployedBytecode.object}` };
  }
  return built;
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  process.stdout.write(`${JSON.stringify(compile(JSON.parse(line)))}\n`);
});
