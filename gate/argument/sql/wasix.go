package sql

import (
	"context"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// PostgreSQL reports an error by a long jump. The module asks its host for it,
// through three calls of the WASIX interface; the others of that interface are
// for threads and signals, which a parser has none of.
// https://wasix.org/docs/api-reference/wasix/stack_checkpoint

// wasixHost is the name under which the module imports the calls.
const wasixHost = "wasix_32v1"

// maxCheckpoints bounds the nested error handlers of one call. PostgreSQL's
// parser sets a handful; more is a module that runs in circles.
const maxCheckpoints = 64

// checkpoint is a place to jump back to.
type checkpoint struct {
	snapshot experimental.Snapshot
	result   uint32 // where the value of setjmp belongs
	stack    uint32 // the stack pointer
	saved    []byte // the C stack from there up
}

// checkpoints are those of one call; a jump never leaves it.
type checkpoints struct {
	list []checkpoint
	top  uint32 // where the stack begins
}

type checkpointsKey struct{}

// withCheckpoints prepares the context of one call.
func withCheckpoints(ctx context.Context, top uint32) context.Context {
	return context.WithValue(experimental.WithSnapshotter(ctx), checkpointsKey{}, &checkpoints{top: top})
}

// hostFault is what the host functions below stop the module with. wazero turns
// it into the error of the call.
type hostFault string

func (f hostFault) Error() string { return "wasix: " + string(f) }

func exportWasix(ctx context.Context, rt wazero.Runtime) error {
	const i32, i64 = api.ValueTypeI32, api.ValueTypeI64
	b := rt.NewHostModuleBuilder(wasixHost)
	export := func(name string, f api.GoModuleFunc, params, results []api.ValueType) {
		b.NewFunctionBuilder().WithGoModuleFunction(f, params, results).Export(name)
	}
	export("stack_checkpoint", setCheckpoint, []api.ValueType{i32, i32}, []api.ValueType{i32})
	export("stack_restore", jump, []api.ValueType{i32, i64}, nil)
	export("proc_id", processID, []api.ValueType{i32}, []api.ValueType{i32})

	export("callback_signal", unsupported("callback_signal"), []api.ValueType{i32, i32}, nil)
	export("futex_wait", unsupported("futex_wait"), []api.ValueType{i32, i32, i32, i32}, []api.ValueType{i32})
	export("futex_wake", unsupported("futex_wake"), []api.ValueType{i32, i32}, []api.ValueType{i32})
	export("futex_wake_all", unsupported("futex_wake_all"), []api.ValueType{i32, i32}, []api.ValueType{i32})
	export("thread_exit", unsupported("thread_exit"), []api.ValueType{i32}, nil)
	export("thread_signal", unsupported("thread_signal"), []api.ValueType{i32, i32}, []api.ValueType{i32})
	_, err := b.Instantiate(ctx)
	return err
}

func unsupported(name string) api.GoModuleFunc {
	return func(context.Context, api.Module, []uint64) { panic(hostFault(name)) }
}

func processID(_ context.Context, m api.Module, stack []uint64) {
	if !m.Memory().WriteUint32Le(uint32(stack[0]), 1) {
		panic(hostFault("proc_id: bad address"))
	}
	stack[0] = 0
}

// setCheckpoint is setjmp: (where to put the number of the checkpoint, where to
// put setjmp's value) → 0.
func setCheckpoint(ctx context.Context, m api.Module, stack []uint64) {
	number, result := uint32(stack[0]), uint32(stack[1])
	points, ok := ctx.Value(checkpointsKey{}).(*checkpoints)
	if !ok || len(points.list) >= maxCheckpoints {
		panic(hostFault("too many checkpoints"))
	}
	pointer := uint32(m.ExportedGlobal("__stack_pointer").Get())
	if pointer > points.top {
		panic(hostFault("bad stack"))
	}
	view, ok := m.Memory().Read(pointer, points.top-pointer)
	if !ok {
		panic(hostFault("bad stack"))
	}
	points.list = append(points.list, checkpoint{
		snapshot: experimental.GetSnapshotter(ctx).Snapshot(),
		result:   result, stack: pointer, saved: append([]byte(nil), view...),
	})
	if !m.Memory().WriteUint64Le(number, uint64(len(points.list)-1)) || !m.Memory().WriteUint64Le(result, 0) {
		panic(hostFault("bad address"))
	}
	stack[0] = 0
}

// jump is longjmp: (where the number of the checkpoint is, value).
func jump(ctx context.Context, m api.Module, stack []uint64) {
	number, ok := m.Memory().ReadUint64Le(uint32(stack[0]))
	points, known := ctx.Value(checkpointsKey{}).(*checkpoints)
	if !ok || !known || number >= uint64(len(points.list)) {
		panic(hostFault("no such checkpoint"))
	}
	p := points.list[number]
	pointer, ok := m.ExportedGlobal("__stack_pointer").(api.MutableGlobal)
	if !ok || !m.Memory().Write(p.stack, p.saved) || !m.Memory().WriteUint64Le(p.result, stack[1]) {
		panic(hostFault("bad checkpoint"))
	}
	pointer.Set(uint64(p.stack))
	stack[0] = 0
	p.snapshot.Restore(stack[:1])
}
