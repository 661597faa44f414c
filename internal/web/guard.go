package web

import (
	"errors"
	"net/http"
	"strings"
)

// headers say to the browser what this page may do: run its own files and talk to
// where it came from, ask for passkeys, in no frame, opened by nobody. No text can become markup or code
// (trusted types without a policy), and nothing is kept.
var headers = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
	"Permissions-Policy":           "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), microphone=(), geolocation=(), usb=(), serial=(), hid=(), payment=(), clipboard-read=()",
	"X-Frame-Options":              "DENY",
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Embedder-Policy": "require-corp",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "no-store",
}

func harden(h http.Header) {
	for k, v := range headers {
		h.Set(k, v)
	}
}

// guard says why a request is not from our own page in a browser, nil where it is. The
// token is judged apart: a page of a stranger has none, and still must not get here.
func (s *Server) guard(r *http.Request) error {
	api := strings.HasPrefix(r.URL.Path, "/api/")
	switch {
	case r.Host != s.host:
		return errors.New("this is no name of this page") // a name that was bent to loopback (DNS rebinding)
	case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost:
		return errors.New("no such method")
	case r.Header.Get("Origin") != "" && r.Header.Get("Origin") != s.origin:
		return errors.New("the request comes from another origin")
	case r.Method == http.MethodPost && r.Header.Get("Origin") == "":
		return errors.New("the request does not say where it comes from")
	}
	site, dest := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Sec-Fetch-Dest")
	switch {
	case api && site != "same-origin":
		return errors.New("the request is not one of the page itself")
	case api && dest != "empty":
		return errors.New("the request was not made by a script")
	case dest == "iframe" || dest == "frame" || dest == "embed" || dest == "object":
		return errors.New("the page stands in no other page")
	case !api && site != "" && site != "same-origin" && site != "none" && dest != "document":
		return errors.New("a file of the page was asked for by another")
	}
	return nil
}

// bearer returns the token of a request: a header that only a script of this origin
// can set. There are no cookies that a browser would send along by itself.
func bearer(r *http.Request) string {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || len(token) > 100 {
		return ""
	}
	return token
}
