// Applications on ioredis and generic-pool: what they do comes as JSON on standard input (see ../../README.md).
import { readFileSync } from "node:fs";
import genericPool from "generic-pool";
import { Redis } from "ioredis";

const told = JSON.parse(readFileSync(0));

const now = () => Date.now() / 1000 - told.t0;
const sleep = (seconds) => new Promise((done) => setTimeout(done, Math.max(0, seconds * 1000)));
const waitUntil = (moment) => sleep(moment - now());
const between = (low, high) => low + Math.random() * (high - low);
const jitter = (seconds) => between(seconds / 2, (seconds * 3) / 2);

async function connect(app) {
  const client = new Redis({
    host: "127.0.0.1", port: app.port, connectionName: app.name || undefined, lazyConnect: true, retryStrategy: null,
  });
  client.on("error", () => {});
  client.on("end", () => { client.ended = true; });
  await client.connect();
  return client;
}

function newPool(app) {
  const { min = 0, idle, evict, fifo = false } = app.options;
  return genericPool.createPool(
    {
      create: () => connect(app),
      destroy: async (client) => client.disconnect(),
      validate: async (client) => !client.ended,
    },
    {
      max: 1000, min, fifo, testOnBorrow: true,
      idleTimeoutMillis: (idle ?? 3600) * 1000, evictionRunIntervalMillis: (evict ?? 0) * 1000, numTestsPerEvictionRun: 10,
    },
  );
}

async function use(pool, hold) {
  const client = await pool.acquire();
  try {
    await client.incr("work");
    await sleep(hold);
  } finally {
    await pool.release(client);
  }
}

async function worker(app, pool, [begin, end, , hold, pause]) {
  await waitUntil(begin);
  await sleep(between(0, pause));
  while (now() < Math.min(end, app.stop)) {
    await use(pool, hold).catch(() => {});
    await sleep(jitter(pause));
  }
}

async function leak(app, pool, kept) {
  const how = app.leak;
  for (let moment = how.from; moment < Math.min(how.to, app.stop); moment += how.every) {
    await waitUntil(moment);
    const client = how.fresh ? await connect(app) : await pool.acquire(); // and never given back
    await (how.multi ? client.call("MULTI") : client.get("leaked"));
    kept.push(client);
    if (how.ping) ping(app, client);
  }
}

async function ping(app, client) {
  while (now() < app.stop) {
    await sleep(app.leak.ping);
    await client.ping();
  }
}

async function runPool(app) {
  const pool = newPool(app);
  const kept = [];
  const filled = await Promise.all(Array.from({ length: app.fill }, () => pool.acquire()));
  for (const client of filled) {
    await client.incr("work");
    await pool.release(client);
  }
  for (const part of app.load) for (let i = 0; i < Math.floor(part[2]); i++) worker(app, pool, part);
  if (app.leak) leak(app, pool, kept);
  await waitUntil(app.stop);
  for (const client of kept) client.disconnect();
  await sleep(1); // until the workers have given back what they had
  await pool.clear();
}

async function runClients(app) {
  for (let i = 0; i < app.count; i++) {
    (async () => {
      const client = await connect(app);
      while (now() < app.stop) {
        await client.incr("work");
        await sleep(between(...app.pause));
      }
    })();
    await sleep(app.gap);
  }
}

async function runRequest(app) {
  while (now() < app.stop) {
    const client = await connect(app);
    await client.incr("work");
    await client.quit();
    await sleep(jitter(app.every));
  }
}

async function runSubscribe(app) {
  for (let i = 0; i < app.count; i++) await (await connect(app)).subscribe("news");
}

async function runBlpop(app) {
  for (let i = 0; i < app.count; i++) {
    const client = await connect(app);
    (async () => {
      while (now() < app.stop) await client.blpop("jobs", 5 * (i % 2));
    })();
  }
}

const kinds = { pool: runPool, clients: runClients, request: runRequest, subscribe: runSubscribe, blpop: runBlpop };
for (const app of told.apps) waitUntil(app.start).then(() => kinds[app.kind](app));
waitUntil(told.seconds).then(() => process.exit());
