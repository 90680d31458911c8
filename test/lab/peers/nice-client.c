/*
 * A libnice client in Office Communicator 2007 R2 compatibility: gathers candidates from an MS-TURN relay over TCP, behind
 * pseudo-TLS ("tls") or bare ("tcp"), and prints every relayed candidate and their number.
 *
 * Usage: nice-client HOST PORT USER PASSWORD [tls|tcp] [TIMEOUT_SECONDS] [HOLD_SECONDS]
 * HOLD_SECONDS: stay that long and check connectivity to 127.0.0.1:55555 through the relay (Send requests).
 * NICE_LOCAL_ADDRESS: gather on this address only. NICE_PROXY: http|socks5 HOST PORT, the proxy to reach the relay through.
 * NICE_MRAS=1: USER and PASSWORD are base64, as MRAS hands them out.
 * Exit: 0 when there is at least one relayed candidate, 3 when there is none, 2 on wrong usage.
 * Build: cc -o nice-client nice-client.c $(pkg-config --cflags --libs nice)
 */
#include <agent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static GMainLoop *loop;
static int relayed;

static void print_candidate(const NiceCandidate *candidate) {
  char address[NICE_ADDRESS_STRING_LEN];
  nice_address_to_string(&candidate->addr, address);
  printf("relayed candidate: %s:%u\n", address, nice_address_get_port(&candidate->addr));
}

static void on_gathered(NiceAgent *agent, guint stream, gpointer data) {
  (void)data;
  GSList *candidates = nice_agent_get_local_candidates(agent, stream, NICE_COMPONENT_TYPE_RTP);
  for (GSList *at = candidates; at != NULL; at = at->next) {
    NiceCandidate *candidate = at->data;
    if (candidate->type == NICE_CANDIDATE_TYPE_RELAYED) {
      print_candidate(candidate);
      relayed += 1;
    }
  }
  g_slist_free_full(candidates, (GDestroyNotify)nice_candidate_free);
  g_main_loop_quit(loop);
}

static void on_receive(NiceAgent *agent, guint stream, guint component, guint length, gchar *bytes, gpointer data) {
  (void)agent, (void)stream, (void)component, (void)length, (void)bytes, (void)data;
}

static gboolean on_timeout(gpointer data) {
  (void)data;
  g_main_loop_quit(loop);
  return G_SOURCE_REMOVE;
}

/* Remote candidates make the agent check connectivity: Send requests through the relay. */
static void add_remotes(NiceAgent *agent, guint stream) {
  static const NiceCandidateTransport transports[] = {
    NICE_CANDIDATE_TRANSPORT_UDP, NICE_CANDIDATE_TRANSPORT_TCP_PASSIVE, NICE_CANDIDATE_TRANSPORT_TCP_ACTIVE,
  };
  GSList *remotes = NULL;
  for (guint index = 0; index < G_N_ELEMENTS(transports); index += 1) {
    NiceCandidate *remote = nice_candidate_new(NICE_CANDIDATE_TYPE_HOST);
    remote->component_id = NICE_COMPONENT_TYPE_RTP;
    remote->stream_id = stream;
    remote->transport = transports[index];
    remote->priority = 1000 + index;
    nice_address_set_from_string(&remote->addr, "127.0.0.1");
    nice_address_set_port(&remote->addr, 55555);
    g_snprintf(remote->foundation, sizeof remote->foundation, "%u", index + 1);
    remotes = g_slist_append(remotes, remote);
  }
  nice_agent_set_remote_credentials(agent, stream, "abcd1234", "0123456789abcdef01234567");
  nice_agent_set_remote_candidates(agent, stream, NICE_COMPONENT_TYPE_RTP, remotes);
  g_slist_free_full(remotes, (GDestroyNotify)nice_candidate_free);
}

int main(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: nice-client HOST PORT USER PASSWORD [tls|tcp] [TIMEOUT_SECONDS] [HOLD_SECONDS]\n");
    return 2;
  }
  const char *host = argv[1];
  guint port = (guint)atoi(argv[2]);
  NiceRelayType kind = argc > 5 && strcmp(argv[5], "tcp") == 0 ? NICE_RELAY_TYPE_TURN_TCP : NICE_RELAY_TYPE_TURN_TLS;
  guint timeout = argc > 6 ? (guint)atoi(argv[6]) : 10;
  guint hold = argc > 7 ? (guint)atoi(argv[7]) : 0;

  loop = g_main_loop_new(NULL, FALSE);
  NiceAgent *agent = nice_agent_new(g_main_loop_get_context(loop), NICE_COMPATIBILITY_OC2007R2);
  /* With UDP left on libnice 0.1.21 opens a second connection whose first frame is malformed. */
  g_object_set(agent, "ice-udp", FALSE, "ice-tcp", TRUE, "upnp", FALSE, "controlling-mode", TRUE, NULL);

  const char *proxy = getenv("NICE_PROXY");
  if (proxy != NULL) {
    gchar **words = g_strsplit(proxy, " ", 3);
    if (words[0] != NULL && words[1] != NULL && words[2] != NULL) {
      NiceProxyType type = strcmp(words[0], "socks5") == 0 ? NICE_PROXY_TYPE_SOCKS5 : NICE_PROXY_TYPE_HTTP;
      g_object_set(agent, "proxy-type", type, "proxy-ip", words[1], "proxy-port", (guint)atoi(words[2]), NULL);
    }
    g_strfreev(words);
  }

  const char *local = getenv("NICE_LOCAL_ADDRESS");
  NiceAddress address;
  if (local != NULL && nice_address_set_from_string(&address, local)) nice_agent_add_local_address(agent, &address);

  g_signal_connect(agent, "candidate-gathering-done", G_CALLBACK(on_gathered), NULL);
  guint stream = nice_agent_add_stream(agent, 1);
  /* In this compatibility libnice takes MRAS's base64 text and uses the octets behind it. */
  gboolean encoded = getenv("NICE_MRAS") != NULL;
  char *user = encoded ? g_strdup(argv[3]) : g_base64_encode((const guchar *)argv[3], strlen(argv[3]));
  char *password = encoded ? g_strdup(argv[4]) : g_base64_encode((const guchar *)argv[4], strlen(argv[4]));
  nice_agent_set_relay_info(agent, stream, NICE_COMPONENT_TYPE_RTP, host, port, user, password, kind);
  nice_agent_attach_recv(agent, stream, NICE_COMPONENT_TYPE_RTP, g_main_loop_get_context(loop), on_receive, NULL);

  guint timer = g_timeout_add_seconds(timeout, on_timeout, NULL);
  if (nice_agent_gather_candidates(agent, stream)) g_main_loop_run(loop);
  g_source_remove(timer);
  if (relayed > 0 && hold > 0) {
    add_remotes(agent, stream);
    g_timeout_add_seconds(hold, on_timeout, NULL);
    g_main_loop_run(loop);
  }
  printf("relayed candidates total: %d\n", relayed);
  g_object_unref(agent);
  g_main_loop_unref(loop);
  g_free(user);
  g_free(password);
  return relayed > 0 ? 0 : 3;
}
