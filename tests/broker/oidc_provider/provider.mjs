// An OpenID-certified provider on loopback: node-oidc-provider, with JWT access tokens for client credentials.
// Argument: a JSON object with port (0: any) and algorithm. Says its issuer on the first line of standard output.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const { port, algorithm } = JSON.parse(process.argv[2]);
const key = algorithm.startsWith('ES')
  ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
  : generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk = { ...key.privateKey.export({ format: 'jwk' }), kid: randomUUID(), alg: algorithm, use: 'sig' };
// the provider insists on a key for RS256, too
const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
const keys = algorithm === 'RS256' ? [jwk] : [jwk, { ...other, kid: randomUUID(), alg: 'RS256', use: 'sig' }];

const client = (name) => ({
  client_id: name,
  client_secret: `${name}'s own`,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
});
const groups = { ada: ['/ska'], operator: ['/ska', '/ska/operators'], stranger: ['/atlas'] };

const server = createServer();
server.listen(port, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: Object.keys(groups).map(client),
    scopes: ['compute'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (context, resource) => ({
          scope: 'compute',
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: algorithm } },
        }),
      },
    },
    extraTokenClaims: (context, token) => ({ 'wlcg.groups': groups[token.clientId] }),
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
