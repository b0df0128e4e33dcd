/* SPDX-License-Identifier: MPL-2.0
 *
 *  grpc.cc - gRPC C++, unary calls over an insecure channel.
 *
 *  The server is asynchronous: one completion queue and one thread. A queue and a thread for each core, which gRPC's notes on
 *  performance advise, were a fifth slower on two cores, where the client needs one. One outstanding call is the
 *  blocking stub; many share one completion queue. */

#include "load.h"
#include "arith.grpc.pb.h"

#include <grpcpp/grpcpp.h>
#include <memory>

#define AWAITED 128 /* requests of each method */

using bench::AddReply;
using bench::AddRequest;
using bench::Arith;
using bench::Blob;

static load_t load;

struct Served {
    virtual void step () = 0;
    virtual ~Served () = default;
};

/*  Waits for a request, answers it, and is gone; the next one waits from when this one has its request. */
template <class Request, class Reply> struct Exchange final : Served {
    using Await = void (Arith::AsyncService::*) (grpc::ServerContext *, Request *,
                                                 grpc::ServerAsyncResponseWriter<Reply> *,
                                                 grpc::CompletionQueue *, grpc::ServerCompletionQueue *,
                                                 void *);
    using Handler = void (*) (Request &, Reply &);

    Arith::AsyncService *service;
    grpc::ServerCompletionQueue *queue;
    Await await;
    Handler handler;
    grpc::ServerContext context;
    Request request;
    Reply reply;
    grpc::ServerAsyncResponseWriter<Reply> writer{&context};
    bool answered = false;

    Exchange (Arith::AsyncService *service, grpc::ServerCompletionQueue *queue, Await await, Handler handler)
        : service (service), queue (queue), await (await), handler (handler)
    {
        (service->*await) (&context, &request, &writer, queue, queue, this);
    }
    void step () override
    {
        if (answered) {
            delete this;
            return;
        }
        new Exchange (service, queue, await, handler);
        handler (request, reply);
        answered = true;
        writer.Finish (reply, grpc::Status::OK, this);
    }
};

static void add (AddRequest &request, AddReply &reply)
{
    reply.set_sum (request.a () + request.b ());
}

static void echo (Blob &request, Blob &reply)
{
    reply.mutable_data ()->swap (*request.mutable_data ());
}

static void answer_all (grpc::ServerCompletionQueue *queue)
{
    void *tag;
    bool good;
    while (queue->Next (&tag, &good))
        if (good)
            static_cast<Served *> (tag)->step ();
        else
            delete static_cast<Served *> (tag);
}

static void serve ()
{
    static Arith::AsyncService service;
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort (load.address, grpc::InsecureServerCredentials (), &port);
    builder.RegisterService (&service);
    auto queue = builder.AddCompletionQueue ();
    auto server = builder.BuildAndStart ();
    if (!server || port == 0)
        load_fail (load.address, "cannot listen there");
    for (int i = 0; i < AWAITED; i++) {
        new Exchange<AddRequest, AddReply> (&service, queue.get (), &Arith::AsyncService::RequestAdd, add);
        new Exchange<Blob, Blob> (&service, queue.get (), &Arith::AsyncService::RequestEcho, echo);
    }
    load_ready ();
    answer_all (queue.get ());
}

static void fill (Blob *blob)
{
    blob->mutable_data ()->resize (LOAD_ECHO_MAX);
    load_fill (reinterpret_cast<unsigned char *> (&(*blob->mutable_data ()) [0]));
    blob->mutable_data ()->resize (load.echo_size);
}

static void stamp (Blob *blob, uint64_t number)
{
    load_stamp (reinterpret_cast<unsigned char *> (&(*blob->mutable_data ()) [0]), number);
}

static void must (const grpc::Status &status)
{
    if (!status.ok ())
        load_fail ("call", status.error_message ().c_str ());
}

static void call_one_by_one (Arith::Stub *stub, Blob *blob)
{
    load_call_t *call = &load.calls [0];
    load_start (call);
    do {
        grpc::ClientContext context;
        if (load.echo_size > 0) {
            Blob reply;
            stamp (blob, call->number);
            must (stub->Echo (&context, *blob, &reply));
            load_check_echo (&load, call->number, reply.data ().data (), reply.data ().size ());
        } else {
            AddRequest request;
            AddReply reply;
            request.set_a ((int64_t) call->number);
            request.set_b (LOAD_ADDEND);
            must (stub->Add (&context, request, &reply));
            load_check_add (call->number, reply.sum ());
        }
    } while (load_next (&load, call));
}

struct Call {
    load_call_t *call;
    grpc::ClientContext context;
    grpc::Status status;
    AddReply added;
    Blob echoed;
    std::unique_ptr<grpc::ClientAsyncResponseReader<AddReply>> adding;
    std::unique_ptr<grpc::ClientAsyncResponseReader<Blob>> echoing;
};

static void send_call (Arith::Stub *stub, grpc::CompletionQueue *queue, Blob *blob, load_call_t *place)
{
    auto *call = new Call;
    call->call = place;
    if (load.echo_size > 0) {
        stamp (blob, place->number);
        call->echoing = stub->AsyncEcho (&call->context, *blob, queue);
        call->echoing->Finish (&call->echoed, &call->status, call);
    } else {
        AddRequest request;
        request.set_a ((int64_t) place->number);
        request.set_b (LOAD_ADDEND);
        call->adding = stub->AsyncAdd (&call->context, request, queue);
        call->adding->Finish (&call->added, &call->status, call);
    }
}

static void call_many (Arith::Stub *stub, Blob *blob)
{
    grpc::CompletionQueue queue;
    for (int i = 0; i < load.outstanding; i++) {
        load_start (&load.calls [i]);
        send_call (stub, &queue, blob, &load.calls [i]);
    }
    void *tag;
    bool good;
    for (int open = load.outstanding; open > 0 && queue.Next (&tag, &good);) {
        std::unique_ptr<Call> call (static_cast<Call *> (tag));
        must (call->status);
        if (load.echo_size > 0)
            load_check_echo (&load, call->call->number, call->echoed.data ().data (),
                             call->echoed.data ().size ());
        else
            load_check_add (call->call->number, call->added.sum ());
        if (load_next (&load, call->call))
            send_call (stub, &queue, blob, call->call);
        else
            open--;
    }
    load_end ();
}

int main (int argc, char **argv)
{
    load_begin (&load, argc, argv);
    if (strcmp (load.role, "server") == 0)
        serve ();
    auto stub = Arith::NewStub (grpc::CreateChannel (load.address, grpc::InsecureChannelCredentials ()));
    Blob blob;
    fill (&blob);
    if (load.outstanding == 1)
        call_one_by_one (stub.get (), &blob);
    else
        call_many (stub.get (), &blob);
    load_end ();
}
