# Sourced by what builds Go programs, where some Go is on the PATH: $go is then the
# one release that all of them are built with.
go_version=1.26.8

# From 1.21 on Go fetches the release that it is asked for. Debian's older one
# downloads it as a module. Both check it by its sum in Go's public log.
go=go
if [ "$(cd / && go env GOVERSION | cut -d. -f2)" -ge 21 ]; then
  export GOTOOLCHAIN=go$go_version
else
  echo "downloading Go $go_version"
  toolchain=golang.org/toolchain@v0.0.1-go$go_version.linux-$(dpkg --print-architecture)
  # Outside of any module: this Go cannot read our go.mod.
  folder=$(cd / && go mod download -modcacherw -json "$toolchain" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  chmod +x "$folder"/bin/* "$folder"/pkg/tool/*/*
  unset GOROOT
  export GOTOOLCHAIN=local
  go=$folder/bin/go
fi
