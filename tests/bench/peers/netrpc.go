// SPDX-License-Identifier: MPL-2.0
//
// netrpc.go - Go's net/rpc over TCP with gob. Many calls are client.Go with one channel for what is done.
//
// What load.h is for C is here once more, small: options, the memory that the runner maps, latencies, checked answers.
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/bits"
	"net"
	"net/rpc"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	headSize = 4096
	laneSize = 16384
	lanesMax = 1024
	longest  = 1<<37 - 1

	measured = 1
	over     = 2

	addend = 1000
)

// The head of that memory, as in load.h.
type meter struct {
	phase, lanes uint32
}

type call struct {
	number  uint64
	started time.Duration
}

var (
	outstanding = flag.Int("outstanding", 1, "calls")
	echoSize    = flag.Int("echo", 0, "bytes; 0 is add")
	head        *meter
	lane        *[laneSize / 4]uint32
	begin       = time.Now()
)

// Arith is the work.
type Arith struct{}

// Args are the two numbers.
type Args struct{ A, B int64 }

// Add adds them.
func (Arith) Add(args Args, sum *int64) error { *sum = args.A + args.B; return nil }

// Echo answers with what it was given.
func (Arith) Echo(args []byte, reply *[]byte) error { *reply = args; return nil }

func fail(what string, why interface{}) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, why)
	os.Exit(3)
}

func must(err error, what string) {
	if err != nil {
		fail(what, err)
	}
}

func mapMeter() {
	descriptor, err := strconv.Atoi(os.Getenv("BENCH_METER"))
	must(err, "BENCH_METER")
	memory, err := syscall.Mmap(descriptor, 0, headSize+laneSize*lanesMax, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_SHARED)
	must(err, "BENCH_METER")
	head = (*meter)(unsafe.Pointer(&memory[0]))
	index := atomic.AddUint32(&head.lanes, 1) - 1
	lane = (*[laneSize / 4]uint32)(unsafe.Pointer(&memory[headSize+laneSize*int(index)]))
}

// sayAnswered tells the runner, by its eventfd, that there was an answer: when all loaders have had one, the window opens.
func sayAnswered() {
	descriptor, err := strconv.Atoi(os.Getenv("BENCH_ANSWERS"))
	must(err, "BENCH_ANSWERS")
	_, err = syscall.Write(descriptor, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	must(err, "BENCH_ANSWERS")
}

func bucket(ns uint64) int {
	if ns < 128 {
		return int(ns)
	}
	if ns > longest {
		ns = longest
	}
	power := 63 - bits.LeadingZeros64(ns)
	return (power-6)*128 + int(ns>>(power-7)&127)
}

var answered bool

// next counts a call that has ended well and makes it the next one; false when the window is over.
func (c *call) next() bool {
	now := time.Since(begin) // one reading of the monotonic clock
	phase := atomic.LoadUint32(&head.phase)
	if !answered {
		answered = true
		sayAnswered()
	}
	if phase == measured {
		lane[bucket(uint64(now-c.started))]++
	}
	c.started = now
	c.number += 0x10000
	return phase != over
}

func pattern() []byte {
	blob := make([]byte, *echoSize)
	for i := range blob {
		blob[i] = byte(i*7 + i/512 + 1)
	}
	return blob
}

func checkAdd(number uint64, sum int64) {
	if sum != int64(number)+addend {
		fail("add", "wrong answer")
	}
}

func checkEcho(number uint64, reply, blob []byte) {
	good := len(reply) == len(blob) && binary.LittleEndian.Uint64(reply) == number
	for i := len(blob) - 1; good && i >= 8; i -= 512 {
		good = reply[i] == blob[i]
	}
	if !good {
		fail("echo", "wrong answer")
	}
}

func callOneByOne(client *rpc.Client) {
	blob := pattern()
	c := call{started: time.Since(begin)}
	for more := true; more; more = c.next() {
		if *echoSize > 0 {
			var reply []byte
			binary.LittleEndian.PutUint64(blob, c.number)
			must(client.Call("Arith.Echo", blob, &reply), "call")
			checkEcho(c.number, reply, blob)
		} else {
			var sum int64
			must(client.Call("Arith.Add", Args{int64(c.number), addend}, &sum), "call")
			checkAdd(c.number, sum)
		}
	}
}

func callMany(client *rpc.Client) {
	blob, done := pattern(), make(chan *rpc.Call, *outstanding)
	send := func(c *call) {
		if *echoSize > 0 { // encoded before Go returns
			binary.LittleEndian.PutUint64(blob, c.number)
			client.Go("Arith.Echo", blob, new([]byte), done)
		} else {
			client.Go("Arith.Add", Args{int64(c.number), addend}, new(int64), done)
		}
	}
	calls := make([]call, *outstanding)
	for i := range calls {
		calls[i] = call{uint64(i), time.Since(begin)}
		send(&calls[i])
	}
	for open := *outstanding; open > 0; {
		ended := <-done
		must(ended.Error, "call")
		var c *call
		if *echoSize > 0 {
			reply := *ended.Reply.(*[]byte)
			c = &calls[binary.LittleEndian.Uint64(reply)&0xffff]
			checkEcho(c.number, reply, blob)
		} else {
			number := uint64(ended.Args.(Args).A)
			c = &calls[number&0xffff]
			checkAdd(c.number, *ended.Reply.(*int64))
		}
		if c.next() {
			send(c)
		} else {
			open--
		}
	}
}

func serve(address string) {
	must(rpc.Register(Arith{}), "register")
	listener, err := net.Listen("tcp", address)
	must(err, address)
	fmt.Println("ready")
	rpc.Accept(listener)
}

func main() {
	flag.Parse()
	role, address := flag.Arg(0), flag.Arg(1)
	if role == "server" {
		serve(address)
	}
	mapMeter()
	client, err := rpc.Dial("tcp", address)
	must(err, address)
	if *outstanding == 1 {
		callOneByOne(client)
	} else {
		callMany(client)
	}
}
