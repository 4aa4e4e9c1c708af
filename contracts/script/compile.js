// Compiles the contracts with the pinned compiler and writes what Python needs into artifacts/.
//   node script/compile.js          writes the artifacts
//   node script/compile.js --check  compares them with a fresh build and fails on any difference
//   node script/compile.js --input  prints the standard JSON input with every source in it, as block explorers want it
'use strict';

const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const HOME = path.join(__dirname, '..');
const COMPILER = '0.8.37+commit.f401782d';
const SETTINGS = {
  evmVersion: 'cancun',
  optimizer: { enabled: true, runs: 200 },
  metadata: { bytecodeHash: 'none' },
};
const OUTPUTS = ['abi', 'evm.bytecode.object', 'evm.deployedBytecode', 'storageLayout'];

// What is built, and where it goes. Tests are a build of their own, so that they never change what is deployed.
const BUILDS = [
  {
    folder: 'artifacts',
    contracts: {
      CXPTToken: 'src/CXPTToken.sol',
      CXPTVault: 'src/CXPTVault.sol',
      SubscriptionManager: 'src/SubscriptionManager.sol',
      UsageEscrow: 'src/UsageEscrow.sol',
      TimelockController: '@openzeppelin/contracts/governance/TimelockController.sol',
    },
  },
  {
    folder: 'test/artifacts',
    contracts: { BitmapDistributor: 'test/gas/BitmapDistributor.sol', HostileToken: 'test/HostileToken.sol' },
  },
];

// 2394: transient storage deserves care; OpenZeppelin's guard clears what it sets.
const ACCEPTED_WARNINGS = new Set(['2394']);

class BuildError extends Error {}

function locate(source) {
  return path.join(HOME, source.startsWith('@') ? 'node_modules' : '', source);
}

// A source and everything that it imports, by name; the text is added to `found`.
function collectSources(source, found = new Map()) {
  if (found.has(source)) return found;
  const file = locate(source);
  if (!fs.existsSync(file)) throw new BuildError(`no source ${source}; run "npm ci" in contracts/ first`);
  const text = fs.readFileSync(file, 'utf8');
  found.set(source, text);
  for (const [, target] of text.matchAll(/^import\s[^"';]*["']([^"']+)["']\s*;/gm)) {
    collectSources(target.startsWith('.') ? path.posix.join(path.posix.dirname(source), target) : target, found);
  }
  return found;
}

function sortByName(map) {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

function describeInput(build) {
  const found = new Map();
  Object.values(build.contracts).forEach((source) => collectSources(source, found));
  const selection = {};
  for (const [name, source] of Object.entries(build.contracts)) selection[source] = { [name]: OUTPUTS };
  return {
    language: 'Solidity',
    sources: Object.fromEntries(sortByName(found).map(([source, content]) => [source, { content }])),
    settings: { ...SETTINGS, outputSelection: selection },
  };
}

function compile(solc, input) {
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const complaints = (output.errors ?? [])
    .filter((e) => e.severity !== 'info' && !ACCEPTED_WARNINGS.has(e.errorCode))
    .map((e) => e.formattedMessage);
  if (complaints.length) throw new BuildError(`the compiler complains:\n${complaints.join('\n')}`);
  return output.contracts;
}

// The same input with sources by location: what a reader of the artifacts needs, without the text of the libraries.
function locateInput(input) {
  const sources = Object.keys(input.sources).map((name) => [name, { urls: [path.relative(HOME, locate(name))] }]);
  return { ...input, sources: Object.fromEntries(sources) };
}

function formatJson(value) {
  return JSON.stringify(value, null, 1) + '\n';
}

function describeArtifact(name, source, compiled) {
  const digests = sortByName(collectSources(source)).map(([file, text]) => [
    file,
    createHash('sha256').update(text).digest('hex'),
  ]);
  return {
    contract: name,
    source,
    compiler: { version: COMPILER, settings: SETTINGS },
    sources: Object.fromEntries(digests),
    abi: compiled.abi,
    bytecode: '0x' + compiled.evm.bytecode.object,
    deployedBytecode: '0x' + compiled.evm.deployedBytecode.object,
    immutableReferences: compiled.evm.deployedBytecode.immutableReferences,
    storageLayout: compiled.storageLayout,
  };
}

// Everything that the build produces: file name (from contracts/) to content.
function buildAll() {
  let solc;
  try {
    solc = require('solc');
  } catch {
    throw new BuildError('the compiler is not installed; run "npm ci" in contracts/ first');
  }
  if (!solc.version().startsWith(COMPILER)) {
    throw new BuildError(`compiler ${solc.version()}, not ${COMPILER}; run "npm ci" in contracts/`);
  }
  const files = new Map();
  for (const build of BUILDS) {
    const input = describeInput(build);
    const compiled = compile(solc, input);
    for (const [name, source] of Object.entries(build.contracts)) {
      const artifact = describeArtifact(name, source, compiled[source][name]);
      files.set(`${build.folder}/${name}.json`, formatJson(artifact));
    }
    files.set(`${build.folder}/input.json`, formatJson(locateInput(input)));
  }
  return files;
}

function checkFile(name, content) {
  const file = path.join(HOME, name);
  if (!fs.existsSync(file)) return [`${name} is missing`];
  const tracked = fs.readFileSync(file, 'utf8');
  if (tracked === content) return [];
  let at = 0;
  while (tracked[at] === content[at]) at += 1;
  return [`${name} differs from a fresh build at line ${content.slice(0, at).split('\n').length}`];
}

function listStrays(files) {
  return BUILDS.flatMap(({ folder }) => {
    const home = path.join(HOME, folder);
    const present = fs.existsSync(home) ? fs.readdirSync(home) : [];
    return present.map((file) => `${folder}/${file}`).filter((name) => !files.has(name));
  });
}

function main(args) {
  const [mode = '--write', ...rest] = args;
  if (!['--write', '--check', '--input'].includes(mode) || rest.length) {
    throw new BuildError(`unknown arguments "${args.join(' ')}"; give none, --check or --input`);
  }
  if (mode === '--input') {
    process.stdout.write(formatJson(describeInput(BUILDS[0])));
    return;
  }
  const files = buildAll();
  if (mode === '--check') {
    const faults = [...files].flatMap(([name, content]) => checkFile(name, content));
    faults.push(...listStrays(files).map((name) => `${name} is not built from any source`));
    if (faults.length) throw new BuildError(`${faults.join('\n')}\nrun "node script/compile.js" in contracts/ and review the difference`);
    console.log(`${files.size} artifacts equal a fresh build`);
    return;
  }
  for (const [name, content] of files) {
    fs.mkdirSync(path.dirname(path.join(HOME, name)), { recursive: true });
    fs.writeFileSync(path.join(HOME, name), content);
    console.log(`${name}  ${content.length} bytes`);
  }
}

try {
  main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
