// Applications on go-redis: what they do comes as JSON on standard input (see ../../README.md).
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
)

type leakage struct {
	From, To, Every, Ping float64
	Fresh, Multi          bool
}

type options struct {
	Min            int
	Lifetime, Idle float64
	Fifo           bool
}

type app struct {
	Kind, Name        string
	Port, Fill, Count int
	Start, Stop       float64
	Load              [][]float64
	Leak              *leakage
	Options           options
	Gap, Every        float64
	Pause             []float64
}

var told struct {
	T0, Seconds float64
	Apps        []app
}

var ctx = context.Background()

func now() float64 { return float64(time.Now().UnixMicro())/1e6 - told.T0 }

func sleep(seconds float64) { time.Sleep(time.Duration(seconds * float64(time.Second))) }

func waitUntil(moment float64) { sleep(moment - now()) }

func between(low, high float64) float64 { return low + rand.Float64()*(high-low) }

func jitter(seconds float64) float64 { return between(seconds/2, seconds*3/2) }

func seconds(number float64) time.Duration { return time.Duration(number * float64(time.Second)) }

func newClient(a app) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: fmt.Sprintf("127.0.0.1:%d", a.Port), ClientName: a.Name, PoolSize: 1000,
		MinIdleConns: a.Options.Min, PoolFIFO: a.Options.Fifo,
		ConnMaxLifetime: seconds(a.Options.Lifetime), ConnMaxIdleTime: seconds(a.Options.Idle),
	})
}

func use(client *redis.Client, hold float64) {
	connection := client.Conn() // taken out of the pool with the first command, back with Close
	connection.Incr(ctx, "work")
	sleep(hold)
	connection.Close()
}

func worker(a app, client *redis.Client, part []float64) {
	begin, end, hold, pause := part[0], min(part[1], a.Stop), part[3], part[4]
	waitUntil(begin)
	sleep(between(0, pause))
	for now() < end {
		use(client, hold)
		sleep(jitter(pause))
	}
}

func leak(a app, client *redis.Client, lost chan<- *redis.Client) {
	for moment := a.Leak.From; moment < min(a.Leak.To, a.Stop); moment += a.Leak.Every {
		waitUntil(moment)
		own := client
		if a.Leak.Fresh {
			own = newClient(a)
			lost <- own
		}
		connection := own.Conn() // and never Close
		if a.Leak.Multi {
			connection.Do(ctx, "MULTI")
		} else {
			connection.Get(ctx, "leaked")
		}
		if a.Leak.Ping > 0 {
			go func() {
				for {
					sleep(a.Leak.Ping)
					connection.Ping(ctx)
				}
			}()
		}
	}
}

func runPool(a app) {
	client := newClient(a)
	filled := make([]*redis.Conn, a.Fill)
	for i := range filled {
		filled[i] = client.Conn()
		filled[i].Incr(ctx, "work")
	}
	for _, connection := range filled {
		connection.Close()
	}
	for _, part := range a.Load {
		for range int(part[2]) {
			go worker(a, client, part)
		}
	}
	lost := make(chan *redis.Client, 10000)
	if a.Leak != nil {
		go leak(a, client, lost)
	}
	waitUntil(a.Stop)
	client.Close() // those in use too
	for len(lost) > 0 {
		(<-lost).Close()
	}
}

func runClients(a app) {
	for range a.Count {
		go func() {
			client := newClient(a)
			for now() < a.Stop {
				use(client, 0)
				sleep(between(a.Pause[0], a.Pause[1]))
			}
		}()
		sleep(a.Gap)
	}
}

func runRequest(a app) {
	for now() < a.Stop {
		client := newClient(a)
		client.Incr(ctx, "work")
		client.Close()
		sleep(jitter(a.Every))
	}
}

func runSubscribe(a app) {
	for range a.Count {
		go func() {
			for range newClient(a).Subscribe(ctx, "news").Channel() {
			}
		}()
	}
}

func runBlpop(a app) {
	for number := range a.Count {
		go func() {
			client := newClient(a)
			for now() < a.Stop {
				client.BLPop(ctx, time.Duration(5*(number%2))*time.Second, "jobs")
			}
		}()
	}
}

func main() {
	if err := json.NewDecoder(os.Stdin).Decode(&told); err != nil {
		panic(err)
	}
	kinds := map[string]func(app){
		"pool": runPool, "clients": runClients, "request": runRequest, "subscribe": runSubscribe, "blpop": runBlpop,
	}
	for _, a := range told.Apps {
		go func() {
			waitUntil(a.Start)
			kinds[a.Kind](a)
		}()
	}
	waitUntil(told.Seconds)
}
