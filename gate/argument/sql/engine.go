package sql

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
	_ "unsafe" // for the link to the module's bytes below

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	_ "github.com/wasilibs/go-pgquery/parser" // carries the module; see postgresModule
)

// PostgreSQL's own parser, compiled to WebAssembly, as github.com/wasilibs/go-pgquery
// ships it. We use its bytes and not its Go code: that code panics where the
// parser crashes, hands the crashed instance to the next caller, has no deadline
// (500 nested subqueries ran for minutes), no bound on memory, and compiles the
// module anew for every instance. Its package keeps the bytes to itself, hence
// the link; a version that moves them does not build.
//
//go:linkname postgresModule github.com/wasilibs/go-pgquery/internal/wasm.LibPGQuery
var postgresModule []byte

const (
	// maxInstances bounds how many parsers run and live at once. A parse takes
	// microseconds, so two keep two callers from waiting for a slow third.
	maxInstances = 2

	// maxPages is the memory of one instance, in pages of 64 KiB: 32 MiB. The
	// module starts with 2 MiB and the stack below; a tree and its JSON take some
	// 200 bytes for each byte of text.
	maxPages = 512

	// stackSize is the C stack that we give an instance. The module's own, of 64
	// KiB, is too small and has no guard: 200 nested subqueries run out of it into
	// other memory, and a parser that has lost its memory can answer anything. The
	// deepest tree takes some 60 bytes of stack for a byte of text, so that
	// maxText needs 2 MiB.
	stackSize = 4 << 20

	// guardSize is the lowest part of the stack, which must be untouched after a
	// parse. A frame is some hundred bytes, so none steps over it.
	guardSize = 64 << 10

	// maxUses retires an instance: its memory never shrinks, and whatever state a
	// parse may leave behind ends with it.
	maxUses = 10_000

	// parseTime is how long one statement may take. The slowest honest ones of the
	// greatest length take a tenth; thousands of nested comments take forever.
	parseTime = time.Second

	// waitTime is how long a caller waits for an instance, so that hostile
	// statements that run into parseTime do not queue up callers without end.
	waitTime = 10 * time.Second

	// maxTree bounds the parser's answer, which is read into this program.
	maxTree = 16 << 20
)

var (
	errBusy    = errors.New("all parsers are busy")
	errTrapped = errors.New("the parser gave up")
)

// engine compiles the module once and lends its instances.
type engine struct {
	start sync.Once
	err   error
	rt    wazero.Runtime
	code  wazero.CompiledModule

	slots chan struct{} // one per instance in use
	mu    sync.Mutex
	idle  []*instance
}

// postgres is the engine of this program. It costs nothing until the first
// statement; compiling it twice would cost a second each time.
var postgres = engine{slots: make(chan struct{}, maxInstances)}

// compile starts the engine. It fails only in a program built wrongly, and then
// every statement is refused.
func (e *engine) compile() error {
	e.start.Do(func() {
		defer func() {
			if r := recover(); r != nil {
				e.err = fmt.Errorf("starting the parser: %v", r)
			}
		}()
		ctx := context.Background() // the engine lives as long as the program
		e.rt = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
			WithCoreFeatures(api.CoreFeaturesV2|experimental.CoreFeaturesThreads).
			WithMemoryLimitPages(maxPages).
			WithCloseOnContextDone(true))
		if _, e.err = wasi_snapshot_preview1.Instantiate(ctx, e.rt); e.err != nil {
			return
		}
		if e.err = exportWasix(ctx, e.rt); e.err != nil {
			return
		}
		e.code, e.err = e.rt.CompileModule(ctx, postgresModule)
	})
	return e.err
}

// parse has the parser read text, which has no NUL, and returns its tree as JSON.
// A *syntaxError is the parser's word on the text; any other error says that
// there is none.
func (e *engine) parse(text string) (tree []byte, err error) {
	if err := e.compile(); err != nil {
		return nil, err
	}
	wait := time.NewTimer(waitTime)
	defer wait.Stop()
	select {
	case e.slots <- struct{}{}:
	case <-wait.C:
		return nil, errBusy
	}
	defer func() { <-e.slots }()
	i, err := e.take()
	if err != nil {
		return nil, err
	}
	tree, err = i.parse(text)
	var refused *syntaxError
	if err == nil || errors.As(err, &refused) {
		e.put(i)
	} else {
		i.close() // nothing is known of the state it is in
	}
	return tree, err
}

func (e *engine) take() (*instance, error) {
	e.mu.Lock()
	if n := len(e.idle); n > 0 {
		i := e.idle[n-1]
		e.idle = e.idle[:n-1]
		e.mu.Unlock()
		return i, nil
	}
	e.mu.Unlock()
	return newInstance(e.rt, e.code)
}

func (e *engine) put(i *instance) {
	if i.uses++; i.uses >= maxUses {
		i.close()
		return
	}
	e.mu.Lock()
	e.idle = append(e.idle, i)
	e.mu.Unlock()
}

// instance is one parser with memory of its own. Not for concurrent use.
type instance struct {
	mod   api.Module
	uses  int
	stack uint32 // the lowest address of the stack that we gave it

	input, result uint32 // where the text and the answer are
}

func newInstance(rt wazero.Runtime, code wazero.CompiledModule) (i *instance, err error) {
	defer recovered(&err)
	ctx := context.Background()
	mod, err := rt.InstantiateModule(ctx, code, wazero.NewModuleConfig().WithName("").
		WithStdout(io.Discard).WithStderr(io.Discard).WithStartFunctions("_initialize"))
	if err != nil {
		return nil, fmt.Errorf("starting a parser: %w", err)
	}
	i = &instance{mod: mod}
	if err := i.prepare(ctx); err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

// prepare gives the instance its places in memory, moves the stack to where it has
// room and a guard, and starts the parser.
func (i *instance) prepare(ctx context.Context) error {
	for _, part := range []struct {
		at   *uint32
		size uint64
	}{{&i.stack, stackSize}, {&i.input, maxText + 1}, {&i.result, resultSize}} {
		at, err := i.call(ctx, "malloc", part.size)
		if err != nil {
			return err
		}
		if at == 0 {
			return errors.New("the parser has no memory")
		}
		*part.at = uint32(at)
	}
	pointer, ok := i.mod.ExportedGlobal("__stack_pointer").(api.MutableGlobal)
	if !ok || !i.mod.Memory().Write(i.stack, guard) {
		return errors.New("the parser has no stack")
	}
	pointer.Set(uint64(i.top()))
	_, err := i.call(ctx, "pg_query_init")
	return err
}

// top is where the stack begins; it grows downwards, in steps of 16.
func (i *instance) top() uint32 { return (i.stack + stackSize) &^ 15 }

// guard is what the lowest part of the stack holds.
var guard = bytes.Repeat([]byte{0xa5}, guardSize)

// intact says whether the stack was large enough.
func (i *instance) intact() bool {
	view, ok := i.mod.Memory().Read(i.stack, guardSize)
	return ok && bytes.Equal(view, guard)
}

func (i *instance) close() { _ = i.mod.Close(context.Background()) }

// recovered makes an error of a panic: what runs below it is another's compiler
// and another's machine code, and a check must answer.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: %v", errTrapped, r)
	}
}

func (i *instance) call(ctx context.Context, name string, args ...uint64) (uint64, error) {
	f := i.mod.ExportedFunction(name)
	if f == nil {
		return 0, fmt.Errorf("the module has no %s", name)
	}
	stack := make([]uint64, max(len(args), 1))
	copy(stack, args)
	if err := f.CallWithStack(ctx, stack); err != nil {
		return 0, fmt.Errorf("%w: %s: %v", errTrapped, name, err)
	}
	return stack[0], nil
}

// The result of pg_query_parse, in C: {char *tree; char *stderr; PgQueryError *error}.
const (
	resultSize  = 12
	resultTree  = 0
	resultError = 8
)

// parse runs one statement. After any error but a *syntaxError the instance must
// not be used again.
func (i *instance) parse(text string) (tree []byte, err error) {
	defer recovered(&err)
	ctx, cancel := context.WithTimeout(context.Background(), parseTime)
	defer cancel()
	ctx = withCheckpoints(ctx, i.top())

	if len(text) > maxText || !i.mod.Memory().WriteString(i.input, text+"\x00") {
		return nil, fmt.Errorf("%w: the text is too long", errTrapped)
	}
	if _, err := i.call(ctx, "pg_query_parse", uint64(i.result), uint64(i.input)); err != nil {
		return nil, err
	}
	if !i.intact() {
		return nil, fmt.Errorf("%w: out of stack", errTrapped)
	}
	tree, failed := i.answer(i.result)
	if _, err := i.call(ctx, "pg_query_free_parse_result", uint64(i.result)); err != nil {
		return nil, err
	}
	return tree, failed
}

// answer copies the tree, or the message of an error, out of the instance.
func (i *instance) answer(at uint32) ([]byte, error) {
	raw, ok := i.mod.Memory().Read(at, resultSize)
	if !ok {
		return nil, errTrapped
	}
	if e := binary.LittleEndian.Uint32(raw[resultError:]); e != 0 {
		message, ok := i.text(e)
		if !ok {
			return nil, errTrapped
		}
		return nil, &syntaxError{string(message)}
	}
	tree, ok := i.textAt(binary.LittleEndian.Uint32(raw[resultTree:]))
	if !ok {
		return nil, errTrapped
	}
	return tree, nil
}

// text follows a pointer to a C string.
func (i *instance) text(pointer uint32) ([]byte, bool) {
	at, ok := i.mod.Memory().ReadUint32Le(pointer)
	if !ok {
		return nil, false
	}
	return i.textAt(at)
}

// textAt copies a C string.
func (i *instance) textAt(at uint32) ([]byte, bool) {
	mem := i.mod.Memory()
	if at == 0 || at >= mem.Size() {
		return nil, false
	}
	view, ok := mem.Read(at, min(mem.Size()-at, maxTree))
	if !ok {
		return nil, false
	}
	n := bytes.IndexByte(view, 0)
	if n < 0 {
		return nil, false
	}
	return bytes.Clone(view[:n]), true
}

// syntaxError is PostgreSQL's message on text that is no statement.
type syntaxError struct{ message string }

func (e *syntaxError) Error() string { return e.message }
