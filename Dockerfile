# The Grid user interface around gridsync.py, from Debian's packages alone. README.md, "Container", says how to run it.
FROM docker.io/library/debian:bookworm-slim AS system

# xrootd-plugins is how root:// doors are shown a proxy; python3-plotly draws the page of --report.
# fetch-crl is not run here: revocation lists grow old with the image, and old ones keep a proxy from being made.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    python3-requests python3-tqdm python3-plotly libdeflate0 ca-certificates openssl openssh-client \
    python3-gfal2 gfal2-plugin-file gfal2-plugin-gridftp gfal2-plugin-http gfal2-plugin-srm \
    gfal2-plugin-xrootd xrootd-plugins \
    voms-clients fetch-crl igtf-policy-classic igtf-policy-iota igtf-policy-mics igtf-policy-slcs \
 && apt-get clean && rm -rf /var/lib/apt/lists/*

# Java and what only Java's client needs. That client is voms-proxy-init here, as in AGATA's manual; the other one,
# voms-proxy-init2, does the same without it. The folder of manual pages is one that Java's package insists on.
RUN mkdir -p /usr/share/man/man1 \
 && apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends voms-clients-java \
 && apt-get clean && rm -rf /var/lib/apt/lists/* /tmp/*

# The VOMS server, as AGATA's manual shows it: --build-arg for another one. It is here for other programs: gridsync.py has the
# same in VOMS_SERVERS, and tests/story/test_newcomer.py compares the two.
ARG VO=vo.agata.org
ARG VOMS_HOST=voms-agata.ijclab.in2p3.fr
ARG VOMS_PORT=443
ARG VOMS_DN="/DC=org/DC=terena/DC=tcs/C=FR/L=Paris/O=Centre national de la recherche scientifique/CN=voms-agata.ijclab.in2p3.fr"
# A guess, as another VOMS server of this institute has it. If it is wrong, the client warns that it can't verify what the
# VO says, and makes the proxy.
ARG VOMS_CA_DN="/C=GR/O=Hellenic Academic and Research Institutions CA/CN=GEANT TLS RSA 1"
RUN mkdir -p /etc/vomses "/etc/grid-security/vomsdir/$VO" \
 && printf '"%s" "%s" "%s" "%s" "%s"\n' "$VO" "$VOMS_HOST" "$VOMS_PORT" "$VOMS_DN" "$VO" >"/etc/vomses/$VO-$VOMS_HOST" \
 && printf '%s\n' "$VOMS_DN" "$VOMS_CA_DN" >"/etc/grid-security/vomsdir/$VO/$VOMS_HOST.lsc"

# The one file, made by the Python that is to run it.
FROM system AS made
COPY gridsync.py /source/
COPY gridsync_parts /source/gridsync_parts
COPY tools/one_file.py /source/tools/
RUN python3 /source/tools/one_file.py /GridDataSync.py

FROM system
COPY image/bashrc /etc/bash.bashrc
COPY image/login.py /usr/local/lib/gridsync/
WORKDIR /opt/AgataGrid
COPY --from=made /GridDataSync.py ./
COPY gen_cert.sh do_grid_completion.sh ./
# The four files of the manual's listing, with its modes. Grid.conf is where the work is, in /data; the login makes it there.
RUN mkdir /data && ln -s /data/Grid.conf Grid.conf \
 && chmod 755 do_grid_completion.sh && chmod 777 gen_cert.sh \
 && ln -s "$PWD/GridDataSync.py" "$PWD/gen_cert.sh" /usr/local/bin/ && ln -s GridDataSync.py /usr/local/bin/gridsync.py

# All that is to outlive the container is in the folders that README.md mounts: certificate and proxy in /root, the rest in
# /data. HOME is said for users whom passwd does not know.
ENV HOME=/root LANG=C.UTF-8 X509_USER_PROXY=/root/x509up GRIDSYNC_DIR=/data
CMD ["bash"]
