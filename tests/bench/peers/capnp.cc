/* SPDX-License-Identifier: MPL-2.0
 *
 *  capnp.cc - Cap'n Proto RPC between two parties (EzRpc): one thread with an event loop at each end. */

#include "load.h"
#include "arith.capnp.h"

#include <capnp/ez-rpc.h>
#include <kj/async.h>

static load_t load;
static unsigned char blob [LOAD_ECHO_MAX];

struct Server final : Arith::Server {
    kj::Promise<void> add (AddContext context) override
    {
        context.getResults ().setSum (context.getParams ().getA () + context.getParams ().getB ());
        return kj::READY_NOW;
    }
    kj::Promise<void> echo (EchoContext context) override
    {
        context.getResults ().setData (context.getParams ().getData ());
        return kj::READY_NOW;
    }
};

struct Caller final : kj::TaskSet::ErrorHandler {
    Arith::Client arith;
    kj::TaskSet tasks{*this};
    int open_calls = 0;
    kj::PromiseFulfillerPair<void> all_answered = kj::newPromiseAndFulfiller<void> ();

    explicit Caller (Arith::Client arith) : arith (kj::mv (arith))
    {
    }
    void taskFailed (kj::Exception &&exception) override
    {
        load_fail ("call", exception.getDescription ().cStr ());
    }
    void start (load_call_t *call)
    {
        open_calls++;
        load_start (call);
        send (call);
    }
    void send (load_call_t *call)
    {
        if (load.echo_size > 0) {
            auto request = arith.echoRequest ();
            load_stamp (blob, call->number);
            request.setData (kj::arrayPtr (blob, load.echo_size));
            tasks.add (request.send ().then ([this, call] (capnp::Response<Arith::EchoResults> reply) {
                load_check_echo (&load, call->number, reply.getData ().begin (), reply.getData ().size ());
                answered (call);
            }));
        } else {
            auto request = arith.addRequest ();
            request.setA ((int64_t) call->number);
            request.setB (LOAD_ADDEND);
            tasks.add (request.send ().then ([this, call] (capnp::Response<Arith::AddResults> reply) {
                load_check_add (call->number, reply.getSum ());
                answered (call);
            }));
        }
    }
    void answered (load_call_t *call)
    {
        if (load_next (&load, call))
            send (call);
        else if (--open_calls == 0)
            all_answered.fulfiller->fulfill ();
    }
};

int main (int argc, char **argv)
{
    load_begin (&load, argc, argv);
    load_fill (blob);
    if (strcmp (load.role, "server") == 0) {
        capnp::EzRpcServer server (kj::heap<Server> (), load.address);
        server.getPort ().wait (server.getWaitScope ());
        load_ready ();
        kj::NEVER_DONE.wait (server.getWaitScope ());
    }
    capnp::EzRpcClient client (load.address);
    Caller caller (client.getMain<Arith> ());
    for (int i = 0; i < load.outstanding; i++)
        caller.start (&load.calls [i]);
    caller.all_answered.promise.wait (client.getWaitScope ());
    load_end ();
}
