#!/bin/sh
# Makes an image of a Debian root filesystem with these packages, as an OCI image layout, without Docker:
#
#   debian-image.sh DIR PACKAGE...        then  image: "oci:DIR"  in a topology file
#
# It needs root and mmdebstrap. The packages come from where this machine gets its own.
set -eu
[ $# -ge 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
out=$1
shift
[ ! -e "$out" ] || { echo "debian-image.sh: $out is there already" >&2; exit 1; }

work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

key=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e $key ] && key="[signed-by=$key]" || key=
apt-get indextargets --format "deb $key \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" 'Created-By: Packages' 'Origin: Debian' |
	sort -u >"$work/sources.list"
[ -s "$work/sources.list" ] || { echo "debian-image.sh: no Debian among this machine's sources of packages" >&2; exit 1; }

# Essential packages and what was asked for; without what a lab has no use of.
mmdebstrap --quiet --mode=root --variant=essential --include="$(echo "$*" | tr ' ' ,)" \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	'' "$work/layer.tar" "$work/sources.list" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }

# An image is three files, each named by its digest: the layer, a configuration, a manifest; and an index that names the
# manifest.
mkdir -p "$work/image/blobs/sha256"
put() {
	digest=$(sha256sum "$1")
	digest=${digest%% *}
	size=$(wc -c <"$1")
	mv "$1" "$work/image/blobs/sha256/$digest"
	digest=sha256:$digest
}
oci=application/vnd.oci.image
put "$work/layer.tar"
layer=$digest
layers="[{\"mediaType\":\"$oci.layer.v1.tar\",\"digest\":\"$digest\",\"size\":$size}]"
printf '{"os":"linux","architecture":"%s","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]}}' "$(dpkg --print-architecture)" "$layer" >"$work/config"
put "$work/config"
printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":{"mediaType":"%s.config.v1+json","digest":"%s","size":%d},"layers":%s}' \
	$oci $oci "$digest" "$size" "$layers" >"$work/manifest"
put "$work/manifest"
printf '{"schemaVersion":2,"manifests":[{"mediaType":"%s.manifest.v1+json","digest":"%s","size":%d}]}' $oci "$digest" "$size" >"$work/image/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$work/image/oci-layout"
mv -T "$work/image" "$out"
