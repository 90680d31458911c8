// Fetches a page with Java's own TLS, revocation checking on and soft failure off. Arguments: the root (PEM), the URL.
import java.io.FileInputStream;
import java.net.URL;
import java.security.KeyStore;
import java.security.cert.*;
import javax.net.ssl.*;

class AcceptanceClient {
  public static void main(String[] args) throws Exception {
    KeyStore roots = KeyStore.getInstance(KeyStore.getDefaultType());
    roots.load(null, null);
    roots.setCertificateEntry("root", CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream(args[0])));
    PKIXBuilderParameters parameters = new PKIXBuilderParameters(roots, new X509CertSelector());
    parameters.setRevocationEnabled(true);
    PKIXRevocationChecker checker = (PKIXRevocationChecker) CertPathBuilder.getInstance("PKIX").getRevocationChecker();
    if (checker.getOptions().contains(PKIXRevocationChecker.Option.SOFT_FAIL)) throw new IllegalStateException("soft failure is on");
    parameters.addCertPathChecker(checker);
    TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(new CertPathTrustManagerParameters(parameters));
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    HttpsURLConnection connection = (HttpsURLConnection) new URL(args[1]).openConnection();
    connection.setSSLSocketFactory(context.getSocketFactory());
    System.out.print(new String(connection.getInputStream().readAllBytes()));
  }
}
