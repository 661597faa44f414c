package credentials

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
)

const (
	// maxAgeFile holds MaxOutput in base64 with its headers and many recipients.
	maxAgeFile = 2 * MaxOutput

	// maxIdentity holds some hundred keys with their comments.
	maxIdentity = 64 << 10

	// binaryIntro begins every age file that is not armored.
	binaryIntro = "age-encryption.org/"
)

// Age is a file encrypted with age, armored or not. Others may read it, not write
// it: age does not say who encrypted a file.
type Age struct {
	File     string
	Identity string // the file with the key, as age-keygen writes it
}

func (a *Age) name() string  { return "age" }
func (a *Age) where() string { return printablePath(a.File) }

func (a *Age) check(int) error {
	return errors.Join(checkPath("age.file", a.File), checkPath("age.identity", a.Identity))
}

func (a *Age) get(context.Context, lookup) (Secret, error) {
	key, err := readFile(a.Identity, maxIdentity, private)
	if err != nil {
		return Secret{}, fmt.Errorf("age.identity: %w", err)
	}
	// The cause is left out, here and below: it may quote the file, which may be
	// another than was meant, such as the secret in plain text.
	ids, err := age.ParseIdentities(bytes.NewReader(key))
	if err != nil {
		return Secret{}, fmt.Errorf("age.identity: %s holds no key of age, or a line that is none: make it with age-keygen", a.Identity)
	}
	raw, err := readFile(a.File, maxAgeFile, public)
	if err != nil {
		return Secret{}, err
	}
	plain, err := decrypt(raw, ids)
	if err != nil {
		return Secret{}, err
	}
	return NewSecret(cutNewline(plain), time.Time{})
}

func decrypt(raw []byte, ids []age.Identity) ([]byte, error) {
	var src io.Reader = bytes.NewReader(raw)
	switch {
	case bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte(armor.Header)):
		src = armor.NewReader(src)
	case !bytes.HasPrefix(raw, []byte(binaryIntro)):
		return nil, errors.New("it is not a file of age")
	}
	r, err := age.Decrypt(src, ids...)
	if noMatch := new(age.NoIdentityMatchError); errors.As(err, &noMatch) {
		return nil, errors.New("age.identity does not open it: encrypt it to what age-keygen -y prints of that file")
	}
	if err != nil {
		return nil, errors.New("the file of age is damaged")
	}
	// A chunk that fails its check ends the reading: nothing of it is used.
	plain, err := io.ReadAll(io.LimitReader(r, MaxOutput+1))
	if err != nil {
		return nil, errors.New("the file of age is damaged")
	}
	if len(plain) > MaxOutput {
		return nil, fmt.Errorf("it holds more than %d bytes", MaxOutput)
	}
	return plain, nil
}
