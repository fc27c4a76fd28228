import { createRoot } from 'react-dom/client';
import { QueryClientProvider } from '@tanstack/react-query';
import { createQueryClient } from './api/queries.ts';
import { App } from './app.tsx';
import 'uplot/dist/uPlot.min.css';
import './style.css';

const host = document.getElementById('app');
if (host === null) throw new Error('the page has no #app');
createRoot(host).render(
  <QueryClientProvider client={createQueryClient()}>
    <App />
  </QueryClientProvider>,
);
