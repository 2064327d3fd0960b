// Applications on Jedis: what they do comes as JSON on standard input (see ../../README.md).

import com.google.gson.Gson;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ThreadLocalRandom;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisPool;
import redis.clients.jedis.JedisPoolConfig;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.Protocol;
import redis.clients.jedis.exceptions.JedisException;

class Clients {
    static class Told { double t0, seconds; List<App> apps; }

    static class App {
        String kind, name;
        int port, fill, count;
        double start, stop, gap, every;
        double[][] load;
        double[] pause;
        Leak leak;
        Options options;
    }

    static class Leak { double from, to, every, ping; boolean fresh, multi; }

    static class Options {
        int min;
        double idle, evict;
        boolean ping, test_on_return, fifo;
    }

    interface Work { void run() throws InterruptedException; }

    static Told told;

    static double now() { return System.currentTimeMillis() / 1000.0 - told.t0; }

    static void sleep(double seconds) throws InterruptedException { Thread.sleep((long) Math.max(0, seconds * 1000)); }

    static void waitUntil(double moment) throws InterruptedException { sleep(moment - now()); }

    static double between(double low, double high) {
        return low < high ? ThreadLocalRandom.current().nextDouble(low, high) : low;
    }

    static double jitter(double seconds) { return between(seconds / 2, seconds * 3 / 2); }

    static Duration seconds(double number) { return Duration.ofMillis((long) (number * 1000)); }

    static void start(Work work) {
        Thread thread = new Thread(() -> {
            try {
                work.run();
            } catch (InterruptedException | JedisException ended) {
                // the server or the application went away
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    static DefaultJedisClientConfig.Builder config(App app) {
        return DefaultJedisClientConfig.builder().clientName(app.name.isEmpty() ? null : app.name);
    }

    static Jedis connect(App app) { return new Jedis(new HostAndPort("127.0.0.1", app.port), config(app).build()); }

    static JedisPool newPool(App app) {
        JedisPoolConfig settings = new JedisPoolConfig();
        Options options = app.options;
        settings.setMaxTotal(1000);
        settings.setMaxIdle(1000);
        settings.setMinIdle(options.min);
        settings.setLifo(!options.fifo);
        settings.setTestOnReturn(options.test_on_return);
        // JedisPoolConfig's own defaults evict after a minute
        settings.setTimeBetweenEvictionRuns(seconds(options.evict > 0 ? options.evict : -1));
        settings.setMinEvictableIdleDuration(seconds(options.idle > 0 ? options.idle : -1));
        settings.setTestWhileIdle(options.ping);
        settings.setNumTestsPerEvictionRun(-1);
        return new JedisPool(settings, new HostAndPort("127.0.0.1", app.port), config(app).build());
    }

    static void use(JedisPool pool, double hold) throws InterruptedException {
        try (Jedis connection = pool.getResource()) {
            connection.incr("work");
            sleep(hold);
        }
    }

    static void worker(App app, JedisPool pool, double[] part) throws InterruptedException {
        double end = Math.min(part[1], app.stop);
        waitUntil(part[0]);
        sleep(between(0, part[4]));
        while (now() < end) {
            try {
                use(pool, part[3]);
            } catch (JedisException broken) {
                // the next one will work
            }
            sleep(jitter(part[4]));
        }
    }

    static void leak(App app, JedisPool pool, Queue<Jedis> kept) throws InterruptedException {
        for (double moment = app.leak.from; moment < Math.min(app.leak.to, app.stop); moment += app.leak.every) {
            waitUntil(moment);
            Jedis connection = app.leak.fresh ? connect(app) : pool.getResource(); // and never closed
            if (app.leak.multi) connection.sendCommand(Protocol.Command.MULTI);
            else connection.get("leaked");
            kept.add(connection); // so that it is not collected
            if (app.leak.ping > 0) start(() -> {
                while (now() < app.stop) {
                    sleep(app.leak.ping);
                    connection.ping();
                }
            });
        }
    }

    static void runPool(App app) throws InterruptedException {
        JedisPool pool = newPool(app);
        List<Jedis> filled = new ArrayList<>();
        Queue<Jedis> kept = new ConcurrentLinkedQueue<>();
        for (int i = 0; i < app.fill; i++) filled.add(pool.getResource());
        for (Jedis connection : filled) {
            connection.incr("work");
            connection.close();
        }
        for (double[] part : app.load)
            for (int i = 0; i < (int) part[2]; i++) start(() -> worker(app, pool, part));
        if (app.leak != null) start(() -> leak(app, pool, kept));
        waitUntil(app.stop);
        pool.close();
        for (Jedis connection : kept) connection.disconnect();
    }

    static void runClients(App app) throws InterruptedException {
        for (int i = 0; i < app.count; i++) {
            start(() -> {
                Jedis client = connect(app);
                while (now() < app.stop) {
                    client.incr("work");
                    sleep(between(app.pause[0], app.pause[1]));
                }
            });
            sleep(app.gap);
        }
    }

    static void runRequest(App app) throws InterruptedException {
        while (now() < app.stop) {
            try (Jedis client = connect(app)) {
                client.incr("work");
            }
            sleep(jitter(app.every));
        }
    }

    static void runSubscribe(App app) {
        for (int i = 0; i < app.count; i++) start(() -> connect(app).subscribe(new JedisPubSub() {}, "news"));
    }

    static void runBlpop(App app) {
        for (int i = 0; i < app.count; i++) {
            int timeout = 5 * (i % 2);
            start(() -> {
                Jedis client = connect(app);
                while (now() < app.stop) client.blpop(timeout, "jobs");
            });
        }
    }

    static void run(App app) throws InterruptedException {
        waitUntil(app.start);
        switch (app.kind) {
            case "pool" -> runPool(app);
            case "clients" -> runClients(app);
            case "request" -> runRequest(app);
            case "subscribe" -> runSubscribe(app);
            case "blpop" -> runBlpop(app);
            default -> throw new IllegalArgumentException(app.kind);
        }
    }

    public static void main(String[] arguments) throws InterruptedException {
        told = new Gson().fromJson(new InputStreamReader(System.in), Told.class);
        for (App app : told.apps) start(() -> run(app));
        waitUntil(told.seconds);
    }
}
