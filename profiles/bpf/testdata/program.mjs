// What an MCP server written for Node does, one check after another. Each line
// printed is "ok <name>" or "BAD <name> <why>".
import http from 'node:http';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import crypto from 'node:crypto';
import dns from 'node:dns/promises';
import net from 'node:net';
import zlib from 'node:zlib';
import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

const dir = fs.mkdtempSync(path.join(process.env.SCRATCH, 'node-'));
const want = (got, expected) => {
  if (got !== expected) throw new Error(`got ${got}, want ${expected}`);
};

const checks = {
  async files() {
    const a = path.join(dir, 'a');
    await fs.promises.writeFile(a, 'hello');
    await fs.promises.appendFile(a, ' world');
    await fs.promises.copyFile(a, path.join(dir, 'b'));
    await fs.promises.rename(path.join(dir, 'b'), path.join(dir, 'c'));
    await fs.promises.chmod(a, 0o600);
    await fs.promises.utimes(a, 1, 1);
    await fs.promises.symlink('a', path.join(dir, 'l'));
    await fs.promises.link(a, path.join(dir, 'h'));
    await fs.promises.mkdir(path.join(dir, 'd/e'), { recursive: true });
    await fs.promises.truncate(a, 5);
    fs.accessSync(a, fs.constants.R_OK);
    fs.fsyncSync(fs.openSync(a, 'r+'));
    fs.statfsSync(dir);
    want(fs.realpathSync.native(path.join(dir, 'l')), fs.realpathSync(a));
    want(fs.readFileSync(path.join(dir, 'l'), 'utf8'), 'hello');
    want(fs.readdirSync(dir).sort().join(), 'a,c,d,h,l');
    fs.rmSync(path.join(dir, 'd'), { recursive: true });
  },
  async http() {
    const server = http.createServer((req, res) => req.pipe(res));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const reply = await fetch(`http://127.0.0.1:${server.address().port}/`, { method: 'POST', body: 'ping' });
    want(await reply.text(), 'ping');
    server.closeAllConnections();
    server.close();
  },
  async unixSocket() {
    const server = net.createServer((c) => c.end('hi')).listen(path.join(dir, 'sock'));
    await once(server, 'listening');
    const client = net.connect(path.join(dir, 'sock'));
    const [data] = await once(client, 'data');
    want(data.toString(), 'hi');
    server.close();
  },
  async udp() {
    const { createSocket } = await import('node:dgram');
    const s = createSocket('udp4');
    s.bind(0, '127.0.0.1');
    await once(s, 'listening');
    s.send('x', s.address().port, '127.0.0.1');
    want((await once(s, 'message'))[0].toString(), 'x');
    s.close();
  },
  async workers() {
    const source = `const { parentPort, workerData } = require('worker_threads');
      const v = new Int32Array(workerData); Atomics.add(v, 0, 1); parentPort.postMessage('done');`;
    const shared = new SharedArrayBuffer(4);
    await Promise.all([1, 2, 3].map(async () => {
      const w = new Worker(source, { eval: true, workerData: shared });
      want((await once(w, 'message'))[0], 'done');
      await once(w, 'exit');
    }));
    want(new Int32Array(shared)[0], 3);
  },
  async children() {
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', 'echo out | cat; ls / >/dev/null; sleep 0']);
    want(stdout, 'out\n');
    const cat = spawn('cat', { detached: true });
    cat.stdin.end('through');
    want((await once(cat.stdout, 'data'))[0].toString(), 'through');
    const sleeper = spawn('sleep', ['1000']);
    sleeper.kill('SIGTERM');
    want((await once(sleeper, 'exit'))[1], 'SIGTERM');
    const node = await promisify(execFile)(process.execPath, ['-e', 'console.log(1+1)']);
    want(node.stdout, '2\n');
  },
  async watch() {
    const file = path.join(dir, 'watched');
    fs.writeFileSync(file, '1');
    const watcher = fs.watch(dir);
    const seen = once(watcher, 'change');
    fs.writeFileSync(file, '2');
    await seen;
    watcher.close();
  },
  async crypto() {
    want(crypto.createHash('sha256').update('').digest('hex').slice(0, 8), 'e3b0c442');
    const pair = await promisify(crypto.generateKeyPair)('ed25519');
    want(crypto.verify(null, Buffer.from('m'), pair.publicKey, crypto.sign(null, Buffer.from('m'), pair.privateKey)), true);
    want((await promisify(crypto.scrypt)('p', 's', 16)).length, 16);
    want(zlib.gunzipSync(await promisify(zlib.gzip)('z')).toString(), 'z');
  },
  // A resolver that answers nothing must be an error of the call, and no crash.
  async dns() {
    const closed = new dns.Resolver({ timeout: 50, tries: 1 });
    closed.setServers(['127.0.0.1:1']);
    for (const ask of [() => closed.resolve4('name.invalid'), () => dns.lookup('name.invalid')]) {
      const code = await ask().then(() => 'resolved', (e) => e.code);
      want(['ECONNREFUSED', 'ETIMEOUT', 'ENOTFOUND', 'EAI_AGAIN'].includes(code), true);
    }
  },
  async host() {
    os.cpus(); os.loadavg(); os.totalmem(); os.hostname(); os.userInfo(); os.release(); os.availableParallelism();
    process.memoryUsage(); process.resourceUsage(); process.getgroups(); os.getPriority(); process.title = 'renamed';
  },
  async signals() {
    const awake = setInterval(() => {}, 1000); // a signal handler keeps no loop alive
    const got = once(process, 'SIGUSR2');
    process.kill(process.pid, 'SIGUSR2');
    await got;
    clearInterval(awake);
  },
  async wasm() {
    const module = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
    await WebAssembly.instantiate(module);
    let n = 0;
    for (let i = 0; i < 3e6; i++) n = (n * 31 + i) | 0; // enough to be compiled
  },
};

for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok ${name}`);
  } catch (e) {
    console.log(`BAD ${name} ${e.code ?? ''} ${e.message}`);
    process.exitCode = 1;
  }
}
fs.rmSync(dir, { recursive: true });
