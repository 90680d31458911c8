// A TLS client with revocation checking on and soft failure off: arguments are the root (PEM), the port, and crl or ocsp.
import java.io.FileInputStream;
import java.net.Socket;
import java.security.KeyStore;
import java.security.cert.*;
import java.util.EnumSet;
import javax.net.ssl.*;

class Client {
  public static void main(String[] args) throws Exception {
    KeyStore roots = KeyStore.getInstance(KeyStore.getDefaultType());
    roots.load(null, null);
    roots.setCertificateEntry("root", CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream(args[0])));
    PKIXRevocationChecker checker = (PKIXRevocationChecker) CertPathBuilder.getInstance("PKIX").getRevocationChecker();
    EnumSet<PKIXRevocationChecker.Option> options = EnumSet.of(PKIXRevocationChecker.Option.NO_FALLBACK);
    if (args[2].equals("crl")) options.add(PKIXRevocationChecker.Option.PREFER_CRLS);
    checker.setOptions(options);
    PKIXBuilderParameters parameters = new PKIXBuilderParameters(roots, new X509CertSelector());
    parameters.setRevocationEnabled(true);
    parameters.addCertPathChecker(checker);
    TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(new CertPathTrustManagerParameters(parameters));
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    Socket raw = new Socket("127.0.0.1", Integer.parseInt(args[1]));
    SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(raw, "a.example", Integer.parseInt(args[1]), true);
    SSLParameters checks = socket.getSSLParameters();
    checks.setEndpointIdentificationAlgorithm("HTTPS");
    socket.setSSLParameters(checks);
    socket.startHandshake();
    System.out.println("accepted " + socket.getSession().getPeerPrincipal());
  }
}
