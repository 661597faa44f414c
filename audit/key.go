package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

const (
	// keyName is the name in keys, signatures and origins.
	keyName = "mcprun-audit"

	privateFile = "audit.key"
	publicFile  = "audit.pub" // the same key's public half, to be kept elsewhere

	// maxKeyFile bounds what is read of a key file; a key takes about 80 bytes.
	maxKeyFile = 1 << 10
)

// key signs checkpoints and names the public half.
type key struct {
	signer note.Signer
	public string
}

// loadKey reads the key in dir. A key that is absent is fs.ErrNotExist, one that
// others may read is refused.
func loadKey(dir string) (key, error) {
	f, err := openFile(dir, privateFile, os.O_RDONLY)
	if err != nil {
		return key{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return key{}, err
	}
	if st.Mode().Perm()&0o077 != 0 || !st.Mode().IsRegular() {
		return key{}, fmt.Errorf("%s may be read by others (mode %v); make a new key and treat this one as known", f.Name(), st.Mode())
	}
	b := make([]byte, maxKeyFile)
	n, _ := f.ReadAt(b, 0)
	return parseKey(strings.TrimSuffix(string(b[:n]), "\n"))
}

// parseKey reads the text form of a private key. Its errors never hold the text.
func parseKey(text string) (key, error) {
	signer, err := note.NewSigner(text)
	if err != nil || signer.Name() != keyName {
		return key{}, errors.New("the audit key is not one")
	}
	// PRIVATE+KEY+name+hash+data, data being one byte of algorithm and the seed.
	parts := strings.SplitN(text, "+", 5) // base64 has plus signs of its own
	data, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(data) != 1+ed25519.SeedSize {
		return key{}, errors.New("the audit key is not one")
	}
	pub := ed25519.NewKeyFromSeed(data[1:]).Public().(ed25519.PublicKey)
	public, err := note.NewEd25519VerifierKey(keyName, pub)
	return key{signer, public}, err
}

// makeKey makes a new key in dir, durably.
func makeKey(dir string) (key, error) {
	private, public, err := note.GenerateKey(rand.Reader, keyName)
	if err != nil {
		return key{}, err
	}
	if err := writeNew(dir, publicFile, public+"\n"); err != nil {
		return key{}, err
	}
	if err := writeNew(dir, privateFile, private+"\n"); err != nil {
		return key{}, err
	}
	if err := syncDir(dir); err != nil {
		return key{}, err
	}
	return parseKey(private)
}

// writeNew writes a whole file or none: under another name first, for a key cut
// short by a power cut would never be made again.
func writeNew(dir, name, text string) error {
	f, err := os.CreateTemp(dir, name+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}

// openKey returns the key in dir; fresh says that a log is about to begin, which
// may make one. An old log without its key is refused: a new key would sign over
// whatever happened to it.
func openKey(dir, logDir string, fresh bool) (key, error) {
	if dir == "" {
		return key{}, errors.New("no folder for the key was given")
	}
	if err := makePrivateDir(dir); err != nil {
		return key{}, err
	}
	if err := outside(dir, logDir); err != nil {
		return key{}, err
	}
	k, err := loadKey(dir)
	if errors.Is(err, fs.ErrNotExist) && fresh {
		return makeKey(dir)
	}
	return k, err
}

// outside refuses a key folder within the log's: who may write the log must not
// thereby be able to sign it.
func outside(dir, logDir string) error {
	d, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	l, err := filepath.EvalSymlinks(logDir)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(l, d)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return err
	}
	return fmt.Errorf("the key's folder %s is within the log's", dir)
}

// PublicKey returns the public half of the key in dir, in the form that
// VerifyOptions wants. Keep it where the log's writer cannot change it.
func PublicKey(dir string) (string, error) {
	k, err := loadKey(dir)
	if err != nil {
		return "", fmt.Errorf("reading the audit key: %w", err)
	}
	return k.public, nil
}
