package drill

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/mcprun/mcprun"
	"github.com/mcprun/mcprun/limits"
)

// Program is the decoy's program, among those of the daemon; it is static.
const Program = "mcprun-decoy"

// labelKey is the key of the label that the decoy has.
const labelKey = "mcprun-drill"

// The tools of the decoy.
const (
	toolAnswer mcprun.ToolName = "answer"
	toolHold   mcprun.ToolName = "hold"
	toolSpawn  mcprun.ToolName = "spawn"
	toolFill   mcprun.ToolName = "fill"
)

// Decoy is the server that a drill kills, and who calls it. All its names are of this one drill.
type Decoy struct {
	Name   mcprun.ServerName
	Label  mcprun.Label
	Client mcprun.Principal // a user that the host does not have
	Other  mcprun.Principal // another one, who is not killed
	// More is how many servers there are besides, with the same label: for a kill of many at once.
	More int
}

// MaxServers is how many servers a drill kills at once, at most: as many as the aim is for.
const MaxServers = 50

// Names are those of all its servers, the decoy's own first.
func (d Decoy) Names() []mcprun.ServerName {
	out := []mcprun.ServerName{d.Name}
	for i := range d.More {
		out = append(out, mcprun.ServerName(fmt.Sprintf("%s-%d", d.Name, i+2)))
	}
	return out
}

// highest is the range of user ids in which no system and no container has any: from
// 2^31 on some file systems and programs take ids for negative, so nobody gives them out.
const highest = 1 << 31

// NewDecoy makes up names until they are nobody's.
func NewDecoy(taken func(Decoy) bool) (Decoy, error) {
	for range 100 { // names of 2^32: the second try is for the books
		var raw [8]byte
		rand.Read(raw[:]) // never fails since Go 1.24
		id := hex.EncodeToString(raw[:4])
		uid := highest | uint32(raw[4]&0x3f)<<24 | uint32(raw[5])<<16 | uint32(raw[6])<<8 | uint32(raw[7])&^1
		d := Decoy{Name: mcprun.ServerName("drill-" + id), Label: mcprun.Label(labelKey + "=" + id),
			Client: mcprun.Principal(fmt.Sprintf("uid:%d", uid)), Other: mcprun.Principal(fmt.Sprintf("uid:%d", uid+1))}
		if !taken(d) {
			return d, nil
		}
	}
	return Decoy{}, fmt.Errorf("every name is taken")
}

// Targets are all that a drill throws a switch for, and takes it back.
func (d Decoy) Targets() []limits.Target {
	return []limits.Target{{Server: d.Name}, {Server: d.Name, Tool: toolHold}, {Label: d.Label}, {Principal: d.Client}}
}

// Valid reports whether these are names that a drill makes up: what stands in a file is to
// free nobody else.
func (d Decoy) Valid() error {
	id, ok := strings.CutPrefix(string(d.Name), "drill-")
	raw, err := hex.DecodeString(id)
	if !ok || err != nil || len(raw) != 4 || string(d.Label) != labelKey+"="+id {
		return fmt.Errorf("%q and %q are no names of a drill", d.Name, d.Label)
	}
	if d.More < 0 || d.More >= MaxServers {
		return fmt.Errorf("%d more servers are too many for a drill", d.More)
	}
	for _, p := range []mcprun.Principal{d.Client, d.Other} {
		number, ok := strings.CutPrefix(string(p), "uid:")
		uid, err := strconv.ParseUint(number, 10, 32)
		if !ok || err != nil || uid < highest {
			return fmt.Errorf("%q is no client of a drill", p)
		}
	}
	return nil
}

// Make packs the decoy's image from the folder of the programs into dir, and returns the
// server.yaml of each of its servers.
func (d *Drill) Make(programs, dir string) ([][]byte, error) {
	if err := Pack(filepath.Join(programs, Program), Image(dir)); err != nil {
		return nil, &mcprun.Error{Class: mcprun.Failed, What: "making the decoy", Err: err, Hint: "put " + Program + " beside mcprund: make build"}
	}
	var ear netip.AddrPort
	token := "-"
	if d.Ear != nil {
		ear, token = d.Ear.Addr, d.Ear.Token
	}
	out := [][]byte{manifestOf(d.Decoy, d.Decoy.Name, dir, ear, token)}
	for _, name := range d.Decoy.Names()[1:] { // nobody calls these
		out = append(out, manifestOf(d.Decoy, name, dir, netip.AddrPort{}, "-"))
	}
	return out, nil
}

// Image is where the decoy's image is, below its folder.
func Image(dir string) string { return filepath.Join(dir, "image") }

// Pack puts the program into an OCI layout of its own: dir must not be there.
func Pack(program, dir string) error {
	bin, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("packing the decoy: %w", err)
	}
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	err = tw.WriteHeader(&tar.Header{Name: Program, Mode: 0o555, Size: int64(len(bin)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = tw.Write(bin)
	}
	if err == nil {
		err = tw.Close()
	}
	if err != nil {
		return fmt.Errorf("packing the decoy: %w", err)
	}
	if err := writeLayout(b.Bytes(), dir); err != nil {
		return fmt.Errorf("packing the decoy: %w", err)
	}
	return nil
}

func writeLayout(layer []byte, dir string) error {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(img, static.NewLayer(layer, types.OCIUncompressedLayer))
	if err != nil {
		return err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", goruntime.GOARCH
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return err
	}
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return l.AppendImage(img, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: goruntime.GOARCH}))
}

// manifestOf is the server.yaml of one server of the decoy. It may use more processes and memory than a drill
// makes it use, and no more than that; ear is where it connects to, if anywhere. Its
// limits are above what a drill calls: it is to measure kills, not them.
func manifestOf(d Decoy, name mcprun.ServerName, folder string, ear netip.AddrPort, token string) []byte {
	var b strings.Builder
	address := "-"
	if ear.IsValid() {
		address = ear.String()
	}
	key, value, _ := strings.Cut(string(d.Label), "=")
	fmt.Fprintf(&b, "version: 1\nname: %s\nimage: %q\ncommand: [/%s, %q, %q]\nprofile: go\nlabels: {%s: %q}\n", name, Image(folder), Program, address, token, key, value)
	fmt.Fprintf(&b, "resources: {memory: %dMiB, pids: 2000}\ntimeouts: {call: 2m}\n", memoryMiB)
	if ear.IsValid() {
		host := ear.Addr().String()
		fmt.Fprintf(&b, "egress:\n  - {host: %q, port: %d, protocol: tcp, networks: [%q], tools: [%s]}\n", host, ear.Port(), netip.PrefixFrom(ear.Addr(), ear.Addr().BitLen()), toolHold)
	}
	b.WriteString("limits: {rate: none, repeats: none}\ntools:\n")
	for _, t := range []mcprun.ToolName{toolAnswer, toolHold, toolSpawn, toolFill} {
		fmt.Fprintf(&b, "  %s: {risk: low}\n", t)
	}
	return []byte(b.String())
}

// memoryMiB is a GiB and what the program itself needs.
const memoryMiB = residentMiB + 512

// residentMiB is how much memory the decoy holds where memory is what is measured.
const residentMiB = 1024
