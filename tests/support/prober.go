// Copyright: hosted.kubernetes contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The prober asks a URL ten times a second over HTTP/1.1, and ten times over HTTP/2, on kept connections, until it is told to stop.
// It prints one JSON line for each request: time (of its start), protocol, ms, retried, told, and error, which is empty when all was well.
//
// net/http sends a GET again when its kept connection turns out to be closed before the first byte of an answer. One such retry is
// what every client does and is only noted; more of them count as a failure.
//
// A kube-apiserver that stops refuses what still arrives on a kept connection with 503 and Retry-After: 1, for the instant before it
// closes that connection (apiserver, filters/waitgroup.go). Every Kubernetes client waits and asks again (client-go, rest/with_retry.go).
// So does this one, once, and notes that it was told to.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type record struct {
	Time     time.Time `json:"time"`
	Protocol string    `json:"protocol"`
	Ms       float64   `json:"ms"`
	Retried  bool      `json:"retried"`
	Told     bool      `json:"told"`
	Error    string    `json:"error"`
}

type prober struct {
	url       string
	tokenFile string
	timeout   time.Duration
	interval  time.Duration
	lock      sync.Mutex
	out       *json.Encoder
}

func main() {
	log.SetFlags(0)
	authority := flag.String("ca", "", "file of the certificate authority")
	p := &prober{out: json.NewEncoder(os.Stdout)}
	flag.StringVar(&p.url, "url", "", "what is asked for")
	flag.StringVar(&p.tokenFile, "token", "", "file of the bearer token; read for each request, since it is renewed")
	flag.DurationVar(&p.timeout, "timeout", 5*time.Second, "of one request")
	flag.DurationVar(&p.interval, "interval", 100*time.Millisecond, "between the starts of two requests of one protocol")
	flag.Parse()

	pem, err := os.ReadFile(*authority)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		log.Fatalf("%s holds no certificate", *authority)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var protocols sync.WaitGroup
	for _, name := range []string{"HTTP/1.1", "HTTP/2.0"} {
		client := &http.Client{Transport: transport(name, roots)}
		protocols.Go(func() { p.run(ctx, client, name) })
	}
	protocols.Wait()
}

func transport(protocol string, roots *x509.CertPool) *http.Transport {
	only := new(http.Protocols)
	only.SetHTTP1(protocol == "HTTP/1.1")
	only.SetHTTP2(protocol == "HTTP/2.0")
	// With one kept connection a second attempt always has a new one.
	return &http.Transport{Protocols: only, TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 1}
}

// run keeps to the plan of the starts: a slow answer, or a busy machine, delays no other request for long and leaves none out.
func (p *prober) run(ctx context.Context, client *http.Client, protocol string) {
	var requests sync.WaitGroup
	defer requests.Wait()
	for start := time.Now(); ; start = start.Add(p.interval) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(start)):
			requests.Go(func() { p.ask(client, protocol) })
		}
	}
}

func (p *prober) ask(client *http.Client, protocol string) {
	started := time.Now()
	given := p.get(client, protocol)
	result := record{Time: started.UTC(), Protocol: protocol, Retried: given.connections > 1, Told: given.wait > 0}
	if result.Told {
		time.Sleep(given.wait)
		given = p.get(client, protocol)
		result.Retried = result.Retried || given.connections > 1
	}
	if given.err != nil {
		result.Error = given.err.Error()
	}
	result.Ms = float64(time.Since(started).Microseconds()) / 1000
	p.lock.Lock()
	defer p.lock.Unlock()
	if err := p.out.Encode(result); err != nil {
		log.Fatal(err)
	}
}

// answer to one request: on how many connections it was sent, how long to wait before asking again (0: not told to), what was wrong.
type answer struct {
	connections int32
	wait        time.Duration
	err         error
}

func (p *prober) get(client *http.Client, protocol string) answer {
	var connections atomic.Int32
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout)
	defer cancel()
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connections.Add(1) }}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodGet, p.url, nil)
	if err != nil {
		return answer{err: err}
	}
	token, err := os.ReadFile(p.tokenFile)
	if err != nil {
		return answer{err: err}
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	response, err := client.Do(request)
	if err != nil {
		return answer{connections: connections.Load(), err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	given := answer{connections: connections.Load(), err: err}
	switch {
	case err != nil:
	case response.StatusCode != http.StatusOK:
		given.wait = toldToWait(response)
		given.err = fmt.Errorf("%s: %.200s", response.Status, body)
	case response.Proto != protocol:
		given.err = fmt.Errorf("was answered by %s", response.Proto)
	case given.connections > 2:
		given.err = fmt.Errorf("was sent %d times", given.connections)
	}
	return given
}

func toldToWait(response *http.Response) time.Duration {
	if response.StatusCode != http.StatusTooManyRequests && response.StatusCode < http.StatusInternalServerError {
		return 0
	}
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
